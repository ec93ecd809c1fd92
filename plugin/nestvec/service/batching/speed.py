"""How fast the engine runs an encoder, and what a client may therefore send at once."""

from __future__ import annotations

from typing import Final

from nestvec.milvus.tries import MAX_CHUNK, MIN_CHUNK, try_seconds

_RESERVE: Final = 0.5
"""The part of a deadline that a chunk may take on an idle service: requests share the engine."""

_SMOOTHING: Final = 0.2
"""Weight of the newest batch in a running average."""

_FULL_BATCH_TOKENS: Final = 512
_LONG_TEXT_TOKENS: Final = 64


class EngineSpeed:
    """Running averages of the tokens a second of one part of an encoder."""

    def __init__(self, max_tokens: int) -> None:
        """``max_tokens`` is the length of the longest text."""
        self._max_tokens = max_tokens
        self._recent = 0.0
        self._long_texts = 0.0

    def start_from(self, other: EngineSpeed) -> None:
        """Begin with the averages of another, whose texts may be longer or shorter."""
        self._recent, self._long_texts = other._recent, other._long_texts

    def record(self, texts: int, tokens: int, seconds: float) -> None:
        """Record a batch of ``texts`` texts, of ``tokens`` tokens together."""
        rate = tokens / max(seconds, 1e-6)
        self._recent = _averaged(self._recent, rate)
        # Small batches, and batches of short texts, are slower a token than what a client sends in bulk.
        long = min(_LONG_TEXT_TOKENS, self._max_tokens // 2)
        if tokens >= min(_FULL_BATCH_TOKENS, 2 * self._max_tokens) and tokens >= long * texts:
            self._long_texts = _averaged(self._long_texts, rate)

    @property
    def recent(self) -> float | None:
        """Tokens a second of recent batches, None before the first."""
        return self._recent or None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second of full batches of long texts; None before the first."""
        return self._long_texts or None

    @property
    def texts_per_second(self) -> float | None:
        """Texts a second that are as long as the encoder takes; None before the first full batch."""
        speed = self.tokens_per_second
        return None if speed is None else speed / self._max_tokens

    @property
    def recommended_chunk(self) -> int | None:
        """Texts in a request from Milvus that are surely embedded in time, whatever their length, from 32 to
        1,024; None before the first full batch."""
        speed = self.texts_per_second
        if speed is None:
            return None
        texts = int(speed * try_seconds() * _RESERVE)
        return min(MAX_CHUNK, max(MIN_CHUNK, texts // 8 * 8))


def _averaged(average: float, newest: float) -> float:
    return (1 - _SMOOTHING) * average + _SMOOTHING * newest if average else newest
