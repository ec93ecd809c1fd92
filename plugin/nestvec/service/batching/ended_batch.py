"""What became of a batch, for those that wait for it and for the metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from nestvec.service.batching.cache import CachedEmbedding
from nestvec.service.batching.pending import PendingEmbedding
from nestvec.service.observability.observer import BatchRun


@dataclass(frozen=True)
class BatchStart:
    """A batch that the engine is given."""

    batch: Sequence[PendingEmbedding]
    started: float
    streams: int
    """Among how many batches the engine's cores are divided: 1 for a batch that is alone."""

    @classmethod
    def now(cls, batch: Sequence[PendingEmbedding], streams: int) -> BatchStart:
        """The batch as it starts, which its inputs note."""
        started = time.monotonic()
        for pending in batch:
            pending.started = started
        return cls(batch, started, streams)

    def ended(
        self, padded: int, embeddings: Sequence[CachedEmbedding] = (), failure: Exception | None = None
    ) -> EndedBatch:
        """The batch as it ends now; ``padded`` is 0 if it never had its padding."""
        seconds = time.monotonic() - self.started
        return EndedBatch(self, seconds, padded or self.tokens, embeddings, failure)

    @property
    def tokens(self) -> int:
        """Tokens of all inputs, without padding."""
        return sum([pending.length for pending in self.batch])


@dataclass(frozen=True)
class EndedBatch:
    """What became of a batch."""

    start: BatchStart
    seconds: float
    padded: int
    """Its tokens with padding."""
    embeddings: Sequence[CachedEmbedding] = ()
    failure: Exception | None = None

    @property
    def engine_seconds(self) -> float:
        """How long it had taken with all of the engine's cores."""
        return self.seconds / self.start.streams

    def report(self, encoder: str) -> BatchRun:
        """What observers hear of it."""
        start = self.start
        return BatchRun(
            encoder=encoder,
            texts=len(start.batch),
            tokens=start.tokens,
            padded=self.padded,
            queue_seconds=start.started - min([pending.arrived for pending in start.batch]),
            inference_seconds=self.seconds,
            failed=self.failure is not None,
            exit=start.batch[0].exit,
        )
