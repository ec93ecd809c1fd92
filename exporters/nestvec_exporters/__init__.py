"""Checkpoint to encoder: read, pool, export, quantise, verify.

Importing this imports no torch; ``export`` loads what it needs when it is called.
"""

from nestvec_exporters.export import export
from nestvec_exporters.options import ExportOptions, Merge, Overrides
from nestvec_exporters.progress import Listener
from nestvec_exporters.waiting import wait_passively

__all__ = ["ExportOptions", "Listener", "Merge", "Overrides", "export"]

# Here, because it is before torch is imported, whatever of the package is used.
wait_passively()
