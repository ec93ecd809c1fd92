"""Checkpoints as towers, one module per kind.

A new kind is a row in ``checkpoints.kinds`` and a module here with ``load(checkpoint, options)``.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint, Loader
from nestvec_exporters.options import ExportOptions

__all__ = ["load_checkpoint"]


def load_checkpoint(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """A checkpoint's towers with their weights; imports torch and transformers.

    Raises CheckpointUnsupported where its weights or settings do not make an encoder.
    """
    module = import_module(f"{__name__}.{checkpoint.architecture}")
    return cast("Loader", module.load)(checkpoint, options)
