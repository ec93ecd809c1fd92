"""Training a checkpoint so that its prefixes and its exits are good vectors.

Importing this imports no torch; ``adapt`` loads what it needs when it is called.
"""

from nestvec_exporters.adapt.adapt import adapt
from nestvec_exporters.adapt.data import TrainingData
from nestvec_exporters.adapt.options import AdaptOptions, Length
from nestvec_exporters.adapt.result import Adapted

__all__ = ["AdaptOptions", "Adapted", "Length", "TrainingData", "adapt"]
