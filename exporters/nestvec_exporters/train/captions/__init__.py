"""Training two towers, of texts and of images, on images with captions.

Importing this imports no torch; ``adapt_captions`` loads what it needs when it is called.
"""

from nestvec_exporters.train.captions.adapt_captions import AdaptedTowers, adapt_captions
from nestvec_exporters.train.captions.data import CaptionData
from nestvec_exporters.train.captions.options import Augmentation, CaptionOptions, TowerTraining

__all__ = [
    "AdaptedTowers",
    "Augmentation",
    "CaptionData",
    "CaptionOptions",
    "TowerTraining",
    "adapt_captions",
]
