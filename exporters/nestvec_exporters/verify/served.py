"""The exported encoder as a service would run it: tokenized, batched, truncated and normalised by its code.

The service lives above this package, so a caller hands it in; ``nestvec export`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from nestvec_exporters.probes.probe import Probe
from nestvec_schemas.preprocessing.collate import Array


class ServedEncoder(Protocol):
    """An encoder that a service answers for."""

    def embed(
        self, probes: Sequence[Probe], *, dim: int | None = None, expert: str | None = None
    ) -> list[Array]:
        """What the service gives for each probe, all of them in one request: float32.

        A vector, (dim,); the weights of a sparse encoder, (vocabulary,); the vectors of late interaction,
        (tokens, dim), without padding's; a reranker's raw score, (1,).
        """
        ...


OpenServed = Callable[[Path], AbstractContextManager[ServedEncoder]]
"""Opens the encoder in a folder of a model repository."""
