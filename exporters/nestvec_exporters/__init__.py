"""Checkpoint to encoder: read, pool, export, quantise, verify.

Importing this imports no torch; ``export`` loads what it needs when it is called.
"""

from nestvec_exporters.export import export
from nestvec_exporters.options import ExportOptions, Merge, Overrides
from nestvec_exporters.progress import Listener

__all__ = ["ExportOptions", "Listener", "Merge", "Overrides", "export"]
