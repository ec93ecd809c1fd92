"""Checkpoints as towers, one module per kind.

A new kind is a row in ``checkpoints.kinds`` and a module here with ``load(checkpoint, options)``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import cast

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.loading_errors import loading_errors
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.checkpoints.recorded_loads import RecordedLoad, recorded_loads
from nestvec_exporters.graph.tower import LoadedCheckpoint, Loader
from nestvec_exporters.inventory.check import check_honoured
from nestvec_exporters.inventory.context import WITHOUT_TRANSFORMERS, InventoryContext
from nestvec_exporters.inventory.declaration import Declaration
from nestvec_exporters.inventory.loaded_weights import weight_declarations
from nestvec_exporters.inventory.take import apply_ignored, take_inventory
from nestvec_exporters.options import ExportOptions

__all__ = ["explain_checkpoint", "load_checkpoint", "load_with_inventory"]


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
    declarations = take_inventory(checkpoint.folder, checkpoint.architecture, options)
    check_honoured(declarations)
    loaded, weights = _load(checkpoint, options)
    check_honoured(weights)
    return loaded, (*declarations, *weights)


def explain_checkpoint(options: ExportOptions) -> tuple[Declaration, ...]:
    """All declarations of a checkpoint, refused ones too; of a merge, its base's.

    Weights are read only if nothing in the small files is refused. Raises CheckpointError.
    """
    name = options.checkpoint if options.merge is None else options.merge.base
    checkpoint = read_checkpoint(name, options, options)
    declarations = take_inventory(checkpoint.folder, checkpoint.architecture, options)
    if any(declaration.outcome == "refused" for declaration in declarations):
        return declarations
    with quiet():
        return (*declarations, *_load(checkpoint, options)[1])


def _load(checkpoint: Checkpoint, options: ExportOptions) -> tuple[LoadedCheckpoint, tuple[Declaration, ...]]:
    """The towers, and the weights that the loaded models do not take, or lack."""
    kind = checkpoint.architecture
    recording: AbstractContextManager[list[RecordedLoad]] = (
        nullcontext([]) if kind in WITHOUT_TRANSFORMERS else recorded_loads()
    )
    with recording as loads, loading_errors(checkpoint.folder):
        module = import_module(f"{__name__}.{kind}")
        loaded = cast("Loader", module.load)(checkpoint, options)
    context = InventoryContext(CheckpointFiles(checkpoint.folder), kind, options)
    return loaded, tuple(apply_ignored(weight_declarations(loads, context), options.ignore))
