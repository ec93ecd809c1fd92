"""How large the next batch may be, by the speed of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nestvec.service.batching.outputs import PartSpec
from nestvec.service.batching.speed import EngineSpeed

_MAX_LOGITS_BYTES: Final = 256 << 20
"""Memory of a sparse encoder's batch inside the graph: a float32 for each of its tokens and words."""

_MIN_BATCH_TOKENS: Final = 512

_BATCH_SECONDS: Final = 0.1
_MIN_FULL_TOKENS: Final = 1024
"""A CPU is as fast with batches of this size as with larger ones; a GPU does more than that in the time."""

_SHARED_BATCH_SECONDS: Final = 0.03
_MIN_SHARED_TOKENS: Final = 256
"""The same while several clients use the encoder, also for queries: those wait for less, and a CPU is up to a
seventh slower."""

_FREE_SECONDS: Final = 0.01
"""What of the engine's time other clients' queries may add to the batch of a query."""

_MIN_DIVIDED_TOKENS: Final = 256
"""Of one of several batches that run at once."""

_OVERHEAD_SECONDS: Final = 0.002
"""What a batch takes besides its tokens, on a CPU about as long as on a GPU."""
_MIN_PADDING: Final = 24
"""Tokens: a large encoder reads its weights once for each batch."""


@dataclass(frozen=True)
class BatchBudget:
    """Limits of one batch, in tokens, besides those of the queue."""

    free_tokens: int = 0
    """How many of other clients' queries may always be in the batch of a query."""
    tokens: int | None = None
    """None for as many as the queue allows."""
    padding: int | None = None
    """With more padding, a batch costs more than two; None for any."""


@dataclass(frozen=True)
class EngineStreams:
    """Batches of an encoder that an engine runs at once, each on its part of the cores, and what waits."""

    count: int = 1
    waiting: int = 0
    """Tokens."""
    is_idle: bool = True
    """Whether the engine runs no batch of the encoder."""

    @property
    def parts(self) -> int:
        """Among how many batches to divide the cores and what waits: a small request has all cores."""
        return 1 if self.is_idle and self.waiting < _MIN_FULL_TOKENS else self.count


_ONE_STREAM: Final = EngineStreams()


def batch_size(speed: EngineSpeed, *, is_shared: bool, streams: EngineStreams = _ONE_STREAM) -> BatchBudget:
    """The limits of the next batch; ``is_shared`` says whether several clients, also with queries, wait.

    A query waits for the batch before it: on a slow engine it is shorter, where that costs no speed. With
    several ``streams``, a batch on a part of the cores takes as long as a larger one on all of them, and the
    last ones are smaller, so that all streams end at about the same time.
    """
    parts = streams.parts
    recent, full = (speed.recent or 0.0) / parts, speed.tokens_per_second
    tokens_per_second = recent if full is None else full / parts
    free = int(recent * _FREE_SECONDS)
    padding = max(_MIN_PADDING, int(tokens_per_second * _OVERHEAD_SECONDS)) if tokens_per_second else None
    divided = None if parts == 1 else max(_MIN_DIVIDED_TOKENS, -(-streams.waiting // parts))
    if full is None:
        return BatchBudget(free, divided, padding)
    seconds, least = (
        (_SHARED_BATCH_SECONDS, _MIN_SHARED_TOKENS) if is_shared else (_BATCH_SECONDS, _MIN_FULL_TOKENS)
    )
    tokens = max(least, int(full * seconds)) // parts
    return BatchBudget(free, tokens if divided is None else min(tokens, divided), padding)


def max_batch_tokens(spec: PartSpec, max_tokens: int) -> int:
    """Tokens of a batch, padding included: ``max_tokens``, or fewer for a large vocabulary."""
    if spec.kind != "sparse":
        return max_tokens
    return min(max_tokens, max(_MIN_BATCH_TOKENS, _MAX_LOGITS_BYTES // (4 * spec.dim)))
