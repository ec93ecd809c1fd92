"""The engine contract: all that the service asks of whatever runs a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.errors import EngineError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.vectors import Vectors


@dataclass(frozen=True)
class Batch:
    """Token ids of n texts, padded on the right to t tokens; both arrays are (n, t) int64.

    ``attention_mask`` is 1 on tokens and 0 on padding. ``exit`` is the layer to stop after, one of the
    manifest's ``layers``; 0 means the deepest.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    exit: int = 0


_ARRAYS: Final[dict[str, Callable[[Batch, int], NDArray[np.int64]]]] = {
    "input_ids": lambda batch, depth: batch.input_ids,
    "attention_mask": lambda batch, depth: batch.attention_mask,
    "exit": lambda batch, depth: np.full((len(batch.input_ids), 1), batch.exit or depth, np.int64),
}


@dataclass(frozen=True)
class Feed:
    """What a text tower's graph is fed: the names of its inputs, and the exit that a batch's 0 stands for."""

    inputs: Sequence[str]
    depth: int

    def arrays(self, batch: Batch) -> dict[str, NDArray[np.int64]]:
        """The arrays of a batch by input: ids and mask (n, t), ``exit`` (n, 1), all int64."""
        return {name: _ARRAYS[name](batch, self.depth) for name in self.inputs}


def feed_of(manifest: Manifest) -> Feed:
    """How an encoder's text tower is fed. Raises EngineError for an input that no batch has."""
    inputs = manifest.towers["text"].inputs
    unknown = [name for name in inputs if name not in _ARRAYS]
    if unknown:
        raise EngineError(
            f"the graph of {manifest.name} wants an input that this nestvec does not make",
            value=", ".join(unknown),
            next_step="Export the encoder again with this version.",
        )
    return Feed(inputs, manifest.depth)


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
        """The full-length vectors of a batch, (n, dim) float32. Raises EngineError."""
        ...

    async def ready(self, encoder: str) -> bool:
        """Whether a batch of the encoder would be answered now. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of everything; no call comes after this one."""
        ...
