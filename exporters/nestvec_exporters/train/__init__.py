"""Training a checkpoint so that its prefixes and exits are good vectors.

Importing this imports no torch; ``adapt`` loads what it needs when it is called.
"""

from nestvec_exporters.train.adapt import adapt
from nestvec_exporters.train.options import AdaptOptions, Hyperparameters, RunOutput, TrainingLength
from nestvec_exporters.train.result import Adapted
from nestvec_exporters.training_data import TrainingData

__all__ = [
    "AdaptOptions",
    "Adapted",
    "Hyperparameters",
    "RunOutput",
    "TrainingData",
    "TrainingLength",
    "adapt",
]
