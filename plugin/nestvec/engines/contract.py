"""The engine contract: all that the service asks of whatever runs a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from nestvec_schemas.errors import EngineError
from nestvec_schemas.late_interaction import KEEP_INPUT
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.preprocessing.frames import FRAME_MASK
from nestvec_schemas.preprocessing.patches import PATCHES, SPATIAL_SHAPES
from nestvec_schemas.towers import MAIN_PART
from nestvec_schemas.vectors import Vectors

EXIT: Final = "exit"
"""The input that says after which layer each row stops."""

KNOWN_INPUTS: Final = frozenset(
    {
        "input_ids",
        "attention_mask",
        "token_type_ids",
        KEEP_INPUT,
        "pixels",
        FRAME_MASK,
        PATCHES,
        SPATIAL_SHAPES,
        EXIT,
    }
)
"""The inputs of graphs that rows are made for."""


@dataclass(frozen=True)
class Batch:
    """n inputs as a graph takes them: its inputs' arrays by name, the first axis of each n long.

    Of texts: ``input_ids`` and ``attention_mask``, (n, t) int64, padded on the right; the mask is 1 on tokens
    and 0 on padding. Of pictures: ``pixels``, (n, height, width, 3) uint8; of frames, (n, frames, height,
    width, 3), where their order counts with ``frame_mask``, (n, frames). Of drawn texts: ``patches``,
    (n, p, height, width, 3) uint8, and the mask of them, (n, p); of pictures in their own shapes their rows
    and columns, ``spatial_shapes``, (n, 2), too. ``exit`` is the layer to stop after, one of
    the manifest's ``layers``; 0 means the deepest. ``part`` is which of the encoder's graphs. ``tokens``
    counts what the rows hold, without padding.
    """

    arrays: Arrays
    exit: int = 0
    part: str = MAIN_PART
    tokens: int = 0

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def padded(self) -> int:
        """Tokens with padding; of rows without tokens, as many as they cost."""
        ids = self.arrays.get("input_ids")
        return self.tokens if ids is None else ids.size

    def parts(self, size: int) -> Iterator[Batch]:
        """The same in batches of at most ``size`` rows."""
        for start in range(0, len(self), size):
            cut = {name: array[start : start + size] for name, array in self.arrays.items()}
            yield replace(self, arrays=cut)


@dataclass(frozen=True)
class GraphInputs:
    """What a graph is fed: the names of its inputs, and the exit that a batch's 0 stands for."""

    inputs: Sequence[str]
    depth: int

    def arrays(self, batch: Batch) -> dict[str, Array]:
        """The arrays of a batch by input; ``exit`` is (n, 1) int64."""
        return {name: self._array(name, batch) for name in self.inputs}

    def _array(self, name: str, batch: Batch) -> Array:
        if name == EXIT:
            return np.full((len(batch), 1), batch.exit or self.depth, np.int64)
        return batch.arrays[name]


def graph_inputs(manifest: Manifest) -> dict[str, GraphInputs]:
    """How each part of an encoder is fed. Raises EngineError for an input that no batch has."""
    by_part = {}
    for part, modality in manifest.parts.items():
        inputs = manifest.towers[modality].inputs
        unknown = [name for name in inputs if name not in KNOWN_INPUTS]
        if unknown:
            raise EngineError(
                f"the graph of {manifest.name} wants an input that this nestvec does not make",
                value=", ".join(unknown),
                next_step="Export the encoder again with this version.",
            )
        by_part[part] = GraphInputs(inputs, manifest.depth)
    return by_part


class Engine(Protocol):
    """Runs batches of the encoders it was opened with."""

    @property
    def name(self) -> str:
        """The engine's name, as ``/info`` tells it."""
        ...

    @property
    def parallel(self) -> int:
        """How many batches of an encoder it is worth to have in it at once."""
        ...

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """What the graph gives for a batch, float32: full-length vectors, (n, dim); of a sparse encoder a
        weight for each word, (n, dim); of a multi-vector one (n, t, dim); of a reranker (n, 1).

        Raises EngineError.
        """
        ...

    async def ready(self, encoder: str) -> bool:
        """Whether a batch of any part of the encoder would be answered now. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of everything; no call comes after this one."""
        ...
