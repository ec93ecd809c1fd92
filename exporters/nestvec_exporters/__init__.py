"""Checkpoint to encoder: read, pool, export, quantise, verify.

Importing this imports no torch; ``export`` loads what it needs when it is called.
"""

from nestvec_exporters.export import Listener, export
from nestvec_exporters.merge.asked import Merge
from nestvec_exporters.options import ExportOptions, Overrides

__all__ = ["ExportOptions", "Listener", "Merge", "Overrides", "export"]
