"""Training two towers, of texts and of pictures, on pictures with captions.

Importing this imports no torch; ``adapt_captions`` loads what it needs when it is called.
"""

from nestvec_exporters.train.captions.data import CaptionData
from nestvec_exporters.train.captions.options import CaptionOptions, Tower
from nestvec_exporters.train.captions.run import AdaptedPair, adapt_captions

__all__ = ["AdaptedPair", "CaptionData", "CaptionOptions", "Tower", "adapt_captions"]
