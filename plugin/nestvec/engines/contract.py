"""The engine contract: all that the service asks of whatever runs a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.vectors import Vectors


@dataclass(frozen=True)
class Batch:
    """Token ids of n texts, padded on the right to t tokens; both arrays are (n, t) int64.

    ``attention_mask`` is 1 on tokens and 0 on padding.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


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
