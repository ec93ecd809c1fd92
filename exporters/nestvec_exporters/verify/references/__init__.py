"""References: a checkpoint as its own library runs it, for each kind."""

from __future__ import annotations

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.kinds import SENTENCE_TRANSFORMERS_ROWS
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.verify.reference import Reference, TowerReference
from nestvec_schemas.towers import Modality


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[Modality, Reference]:
    """The reference of each tower. Raises CheckpointUnsupported where the library cannot load it."""
    if checkpoint.architecture in SENTENCE_TRANSFORMERS_ROWS and loaded.main_tower.library_runs:
        from nestvec_exporters.verify.references.sentence import SentenceReference  # noqa: PLC0415 - slow

        return {"text": SentenceReference(checkpoint, options)}
    return {modality: TowerReference(loaded, modality) for modality in loaded.towers}
