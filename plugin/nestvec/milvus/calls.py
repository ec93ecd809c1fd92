"""How a Milvus server calls the service: texts a request, tries, and the time for them.

For each chunk of an insert's texts Milvus makes three tries within 30 seconds, and waits 1 to 1.25 s and 2 to
2.5 s between them (``internal/util/function/models/common.go``). A try that fails in a third of what remains
leaves room for the others: they find in the service's memory what the ones before made, and if all fail, the
user reads the service's error instead of Milvus's "context deadline exceeded". Milvus 3.0 takes the 30
seconds from a Function's ``timeout_ms``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nestvec.client.service_client import EncoderInfo
from nestvec.client.service_key import ServiceKey
from nestvec.milvus.server_version import THREE, UNKNOWN_VERSION, ServerVersion
from nestvec.milvus.tries import CHUNK_SECONDS, MAX_CHUNK, MIN_CHUNK, try_seconds
from nestvec_schemas.errors import SpecError

DEFAULT_CHUNK: Final = 256
"""Texts in a request to a service that does not say how fast it is."""

CALLS_PER_INSERT: Final = 5
"""Requests that Milvus makes at most for one insert (``function.batchFactor``)."""

_SECONDS_OF_THREE: Final = 60.0


@dataclass(frozen=True)
class MilvusCalls:
    """How Milvus calls the service for one field; by default, a server and a service that were not asked."""

    version: ServerVersion = UNKNOWN_VERSION
    chunk: int = DEFAULT_CHUNK
    """Texts in a request, of the providers that let a Function choose."""

    key: ServiceKey | None = None
    """For a service with API keys."""

    @property
    def timeout_ms(self) -> int | None:
        """Milliseconds for all tries of a chunk; None if the server has its own."""
        return round(_SECONDS_OF_THREE * 1000) if self.version.at_least(THREE) else None

    @property
    def deadline(self) -> float:
        """Seconds for one request, to a tenth."""
        return try_seconds(_SECONDS_OF_THREE if self.version.at_least(THREE) else CHUNK_SECONDS)


def choose_chunk(info: EncoderInfo, passes: int, *, chosen: int | None = None, limit: int = MAX_CHUNK) -> int:
    """The number of texts that Milvus should send in one request.

    ``chosen`` if it is given, at most ``limit``, the service's maximum. Otherwise what the service
    recommends, divided by ``passes``: the number of passes through an encoder that each row of the collection
    takes, which Milvus requests at the same time. Fields that were added before this one keep their chunks:
    n passes together take at most 1 + 1/2 + … + 1/n times as long as one, three tries for ten.
    Raises SpecError.
    """
    if chosen is not None:
        if isinstance(chosen, bool) or not isinstance(chosen, int) or not 1 <= chosen <= limit:
            raise SpecError(
                "the service does not take this many texts in one request",
                value=chosen,
                next_step=f"Choose a chunk of 1 to {limit:,} texts, or omit it: the speed of the encoder "
                "then decides.",
            )
        return chosen
    return min(max(MIN_CHUNK, _recommended(info) // max(passes, 1)), MAX_CHUNK, limit)


def _recommended(info: EncoderInfo) -> int:
    if info.recommended_chunk is not None:
        return info.recommended_chunk
    if info.tokens_per_second is None:
        return DEFAULT_CHUNK
    return int(info.tokens_per_second * try_seconds() / info.max_tokens)
