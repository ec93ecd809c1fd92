"""References: a checkpoint as its own library runs it, for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.verify.reference import Reference, TowerReference
from nestvec_schemas.towers import Modality

_Open = Callable[[Checkpoint, LoadedCheckpoint, ExportOptions], Mapping[Modality, Reference]]

_MODULES: Final[Mapping[str, str]] = {
    "sentence": "sentence",
    "decoder": "sentence",
    "cross": "cross",
    "sparse": "sparse",
    "late": "late",
    "dual": "dual",
    "vision": "vision",
    "vlm": "vlm",
}
"""The module here with the ``open_references`` of each kind of checkpoint."""


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[Modality, Reference]:
    """The reference of each tower; ``TowerReference`` where no library runs the same.

    Raises CheckpointUnsupported where the library cannot load the checkpoint.
    """
    references: dict[Modality, Reference] = {
        modality: TowerReference(loaded, modality) for modality in loaded.towers
    }
    name = _MODULES.get(checkpoint.architecture)
    if name is None or not loaded.main_tower.library_runs:
        return references
    module = import_module(f"{__name__}.{name}")
    return {**references, **cast("_Open", module.open_references)(checkpoint, loaded, options)}
