"""What the inputs of a request were embedded as, put together from what was cached and computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nestvec.service.batching.cache import CachedEmbedding, CacheKey
from nestvec.service.batching.outputs import zero_output
from nestvec.service.batching.pending import PendingEmbedding
from nestvec.service.encoders import LoadedEncoder
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import Vectors


@dataclass(frozen=True)
class Timing:
    """Seconds that one request took."""

    queued: float = 0.0
    """How long its slowest input waited for the engine."""
    inference: float = 0.0
    """How long its slowest input was in the engine."""
    total: float = 0.0


@dataclass(frozen=True)
class EmbeddingResult:
    """What the inputs of one request were embedded as, and what that took."""

    encoder: str
    outputs: Sequence[Array] | Vectors
    """One for each input, in their order."""
    tokens: int = 0
    truncated: int = 0
    """How many texts were truncated."""
    chunked: int = 0
    """How many texts are the mean of their chunks."""
    failed: Mapping[int, NestvecError] = field(default_factory=dict)
    """The inputs that could not be read, by position; their output is ``zero_output``."""
    timing: Timing = field(default_factory=Timing)
    fingerprint: str | None = None
    """Of the encoder."""

    @property
    def vectors(self) -> Vectors:
        """The outputs of an encoder that gives one vector for each input, (n, dim) float32."""
        return np.asarray(self.outputs)

    def finished(self, seconds: float, outputs: Sequence[Array] | Vectors | None = None) -> EmbeddingResult:
        """The result of a request that took ``seconds``, with ``outputs`` in place of its own."""
        return EmbeddingResult(
            self.encoder,
            self.outputs if outputs is None else outputs,
            tokens=self.tokens,
            truncated=self.truncated,
            chunked=self.chunked,
            failed=self.failed,
            timing=Timing(self.timing.queued, self.timing.inference, seconds),
            fingerprint=self.fingerprint,
        )


def assemble_result(
    name: str,
    loaded: LoadedEncoder,
    keys: Sequence[CacheKey],
    entries: Mapping[CacheKey, CachedEmbedding | PendingEmbedding | NestvecError],
    embeddings: Mapping[CacheKey, CachedEmbedding],
) -> EmbeddingResult:
    """The result of a request whose inputs have these ``keys``, by the encoder that it calls ``name``."""
    outputs: list[Array] = []
    failed: dict[int, NestvecError] = {}
    tokens = truncated = 0
    for place, key in enumerate(keys):
        embedding = embeddings.get(key)
        if embedding is not None:
            outputs.append(loaded.output(embedding.output))
            tokens += embedding.tokens
            truncated += embedding.truncated
            continue
        outputs.append(zero_output(loaded.manifest.kind, loaded.manifest.dim))
        if isinstance(error := entries[key], NestvecError):
            failed[place] = error
    timing, fingerprint = _timing(entries.values()), encoder_fingerprint(loaded.manifest)
    return EmbeddingResult(
        name,
        outputs,
        tokens=tokens,
        truncated=truncated,
        failed=failed,
        timing=timing,
        fingerprint=fingerprint,
    )


def _timing(entries: Iterable[CachedEmbedding | PendingEmbedding | NestvecError]) -> Timing:
    queued = inference = 0.0
    for entry in entries:
        if isinstance(entry, PendingEmbedding):
            queued = max(queued, entry.started - entry.arrived)
            inference = max(inference, entry.ended - entry.started)
    return Timing(queued, inference)
