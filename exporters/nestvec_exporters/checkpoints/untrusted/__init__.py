"""What a checkpoint must not do: run code of its own, or read files that are not its own.

Checked on its small files before a library reads them: neither sentence-transformers nor transformers refuses
all of it.
"""

from __future__ import annotations

from pathlib import Path

from nestvec_exporters.checkpoints.untrusted.links import check_links
from nestvec_exporters.checkpoints.untrusted.module_classes import check_module_classes
from nestvec_exporters.checkpoints.untrusted.settings import check_settings

__all__ = ["check_files", "check_no_code"]


def check_files(folder: Path) -> None:
    """Raise CheckpointUnsupported if a checkpoint names files outside its folder, or code to download."""
    check_links(folder)
    check_settings(folder)


def check_no_code(folder: Path, *, pylate: bool = False, trusted: bool = False) -> None:
    """Raise CheckpointUnsupported if a checkpoint names code, or files outside its folder, at any depth.

    ``pylate``: allow PyLate's modules as well, for a loader that imports none. ``trusted``: allow classes of
    its own code; the rest stays refused.
    """
    check_files(folder)
    check_module_classes(folder, pylate=pylate, trusted=trusted)
