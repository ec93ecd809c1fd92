"""Checkpoints as towers, one module per kind.

A new kind is a row in ``checkpoints.kinds`` and a module here with ``load(checkpoint, options)``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import cast

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.recorded_loads import RecordedLoad, recorded_loads
from nestvec_exporters.graph.tower import LoadedCheckpoint, Loader
from nestvec_exporters.inventory.check import check_honoured
from nestvec_exporters.inventory.context import WITHOUT_TRANSFORMERS, Context
from nestvec_exporters.inventory.declaration import Declaration
from nestvec_exporters.inventory.loaded_weights import weight_declarations
from nestvec_exporters.inventory.take import apply_ignored, take_inventory
from nestvec_exporters.options import ExportOptions

__all__ = ["load_checkpoint", "load_with_inventory"]


def load_checkpoint(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """A checkpoint's towers with their weights; imports torch and transformers.

    Raises CheckpointUnsupported where its weights or settings do not make an encoder, or declare what the
    export does not honour.
    """
    return load_with_inventory(checkpoint, options)[0]


def load_with_inventory(
    checkpoint: Checkpoint, options: ExportOptions
) -> tuple[LoadedCheckpoint, tuple[Declaration, ...]]:
    """The same, and all declarations of the checkpoint. Those of its small files are checked first."""
    kind = checkpoint.architecture
    declarations = take_inventory(checkpoint.folder, kind, options)
    check_honoured(declarations)
    recording: AbstractContextManager[list[RecordedLoad]] = (
        nullcontext([]) if kind in WITHOUT_TRANSFORMERS else recorded_loads()
    )
    with recording as loads:
        module = import_module(f"{__name__}.{kind}")
        loaded = cast("Loader", module.load)(checkpoint, options)
    context = Context(CheckpointFiles(checkpoint.folder), kind, options)
    weights = tuple(apply_ignored(weight_declarations(loads, context), options.ignore))
    check_honoured(weights)
    return loaded, (*declarations, *weights)
