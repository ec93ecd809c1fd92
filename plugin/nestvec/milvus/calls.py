"""How a Milvus server calls the service: texts a request, tries and the time for them, the name of the key.

For each chunk of an insert's texts Milvus makes three tries within 30 seconds, and waits 1 to 1.25 s and 2 to
2.5 s between them (``internal/util/function/models/common.go``). A try that fails in a third of what remains
leaves room for the others: they find in the service's memory what the ones before made, and if all fail, the
user reads the service's error instead of Milvus's "context deadline exceeded". Milvus 3.0 takes the 30
seconds from a Function's ``timeout_ms``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from nestvec.client.service_client import EncoderInfo
from nestvec.client.service_key import ServiceKey
from nestvec.milvus.server_version import THREE, UNKNOWN_VERSION, ServerVersion
from nestvec.milvus.tries import CHUNK_SECONDS, MAX_CHUNK, MIN_CHUNK, try_seconds
from nestvec_schemas.errors import SpecError

logger = logging.getLogger(__name__)

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


def check_credential(key: ServiceKey | None) -> None:
    """Raise SpecError for a key whose entry in milvus.yaml is not named: a Function cannot have the key
    itself."""
    if key is not None and not key.credential:
        raise SpecError(
            "Milvus reads the service's API key from its own configuration, and the entry's name is missing",
            next_step="Put the key under credential in milvus.yaml and name it: "
            "options=EmbeddingOptions(key=ServiceKey(api_key, credential=NAME)), or NESTVEC_CREDENTIAL.",
        )


def credential_params(key: ServiceKey | None, version: ServerVersion) -> dict[str, str | int]:
    """The ``credential`` of a Function, as a server of this version finds it; nothing without a key.

    Milvus 2.6 reads the keys of milvus.yaml in lower case, and so never finds a name with capitals; from 3.0
    on it keeps them. Raises SpecError if the key has no name.
    """
    if key is None:
        return {}
    check_credential(key)
    name, lower = key.credential, key.credential.lower()
    if name == lower or version.at_least(THREE):
        return {"credential": name}
    if version.before(THREE):
        return {"credential": lower}
    logger.warning(
        "Milvus before 3.0 reads the names under credential in milvus.yaml in lower case, and finds no %s: "
        "write it in lower case in both places",
        name,
    )
    return {"credential": name}
