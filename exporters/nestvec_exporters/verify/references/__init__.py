"""References: a checkpoint as its own library runs it, for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.verify.reference import Reference
from nestvec_exporters.verify.references.tower import TowerReference
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.towers import first_tower

References = dict[str, Reference]
"""By the modality of a tower, or by the name of an expert that the checkpoint brings."""

_Open = Callable[[Checkpoint, LoadedCheckpoint, ExportOptions], Mapping[str, Reference]]

_MODULES: Final[Mapping[str, str]] = {
    "sentence": "sentence",
    "decoder": "sentence",
    "custom": "sentence",
    "cross": "cross",
    "sparse": "sparse",
    "late": "late",
    "m3": "sentence",
    "router": "router",
    "ready": "ready",
    "dual": "dual",
    "vision": "vision",
    "vlm": "vlm",
    "encdec": "encdec",
    "tokenfree": "tokenfree",
    "static": "static",
}
"""The module here with the ``open_references`` of each kind of checkpoint."""


def open_references(checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions) -> References:
    """The reference of each tower; ``TowerReference`` where no library runs the same.

    Raises CheckpointUnsupported where the library cannot load the checkpoint.
    """
    references: References = {modality: TowerReference(loaded, modality) for modality in loaded.towers}
    name = _MODULES.get(checkpoint.architecture)
    if name is not None and loaded.main_tower.library_runs:
        module = import_module(f"{__name__}.{name}")
        references |= _opened(cast("_Open", module.open_references), checkpoint, loaded, options)
    if options.overrides.image_checkpoint is not None:
        from nestvec_exporters.verify.references.conse import open_image_reference  # noqa: PLC0415 - slow

        references["image"] = open_image_reference(loaded, references["text"], options)
    return references


def _opened(
    open_them: _Open, checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> Mapping[str, Reference]:
    try:
        return open_them(checkpoint, loaded, options)
    except NestvecError:
        raise
    except Exception as error:  # a library's own
        raise CheckpointUnsupported(
            "the checkpoint's own library cannot load it, so nothing can be verified",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that sentence-transformers or transformers loads it on its own.",
        ) from error


def open_expert(checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions) -> Reference:
    """The reference of an expert's own checkpoint. Raises CheckpointUnsupported."""
    return open_references(checkpoint, loaded, options)[first_tower(loaded.specs)]
