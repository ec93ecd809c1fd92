"""Loading a checkpoint by the module of its kind: one module per kind, named as the kind."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint, Loader
from nestvec_exporters.options import ExportOptions


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """A checkpoint's towers with their weights; imports torch and transformers.

    Raises CheckpointUnsupported where its weights or settings do not make an encoder.
    """
    module = import_module(f"nestvec_exporters.architectures.{checkpoint.architecture}")
    return cast("Loader", module.load)(checkpoint, options)
