"""The space of an encoder whose stored vectors a new version is to search without a bridge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from nestvec_exporters.space_maps.closed_form import procrustes, ridge
from nestvec_exporters.space_maps.mapping import PairedVectors
from nestvec_exporters.training_data import RoleText
from nestvec_schemas.errors import NotOffered
from nestvec_schemas.vectors import Matrix, Vectors, cosines

_RIDGE_WEIGHT: Final = 1e-3

_ROTATION_COSINE: Final = 0.999
"""The mean cosine of rotated and old vectors from which the rotation is kept, which changes no distance."""


class EmbedOld(Protocol):
    """What embeds texts as the old encoder's stored vectors were made."""

    def __call__(self, texts: Sequence[RoleText], on_step: Callable[[int, int], None]) -> Vectors:
        """Unit vectors, (n, d) float32; ``on_step`` receives the texts done and their number."""
        ...


@dataclass(frozen=True)
class OldEncoder:
    """An encoder that has stored vectors."""

    name: str
    fingerprint: str

    dim: int
    """Length of its vectors, which the new version's must have."""

    embed: EmbedOld


def check_length(old: OldEncoder, dim: int) -> None:
    """Raise NotOffered unless vectors of the checkpoint, ``dim`` long, may be compared with the old ones."""
    if old.dim != dim:
        raise NotOffered(
            f"vectors of this checkpoint cannot be compared with those of {old.name}: they differ in length",
            value=f"{dim} dims, {old.name} {old.dim}",
            next_step="Adapt without --compatible-with, export the result, and fit a bridge: nestvec bridge.",
        )


def aligning_matrix(old: Vectors, new: Vectors) -> Matrix:
    """The matrix, (d, d), that brings ``new``, (n, d), into the space of ``old``: a rotation if that is all
    they differ by, else the ridge regression."""
    texts = PairedVectors(old, new)
    for mapping in (procrustes(texts), ridge(texts, _RIDGE_WEIGHT)):
        if float(cosines(mapping(new), old).mean()) >= _ROTATION_COSINE:
            break
    return mapping.matrix
