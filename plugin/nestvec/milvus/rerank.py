"""RERANK Functions: who scores the candidates of a search, and what Milvus refuses of them."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from nestvec.client.service_key import ServiceKey, environment_key
from nestvec.milvus.calls import MilvusCalls, credential_params
from nestvec.milvus.providers import NO_KEY, FunctionParams
from nestvec.milvus.server_version import THREE, ServerVersion
from nestvec_schemas.errors import StoreRefused

RERANK_CHUNK: Final = 64
"""Pairs in one request: on one slow core they are scored well within the deadline."""

_READS_CLIENT_BATCH: Final = (2, 6, 3)
"""Milvus 2.6.0 calls the parameter ``max_batch``; from here on it is certainly ``max_client_batch_size``."""

_SENDS_KEY: Final = (2, 6, 1)

_RANKERS_SINCE: Final = {"DECAY": (2, 6, 0), "BOOST": (2, 6, 2)}
"""Older servers ignore the ranker of a search, and return its rows unranked."""


def rerank_params(
    version: ServerVersion, service: str, encoder: str, max_texts: int, key: ServiceKey | None = None
) -> FunctionParams:
    """The params of a RERANK Function that has ``encoder`` score at most ``max_texts`` texts with a query.

    Milvus Lite has only Cohere's provider, which takes a base URL; Milvus has ``tei``, and keeps the
    endpoint's query string. Milvus sends the texts in batches, one after the other; a score depends on its
    text and the query alone. ``key``: None for that of the environment. Raises SpecError for a key without a
    name, StoreRefused for a Milvus that sends none.
    """
    key = key or environment_key()
    if version.lite:
        return {
            "reranker": "model",
            "provider": "cohere",
            "model_name": encoder,
            "base_url": f"{service}/v2",
            "api_key": key.api_key if key else NO_KEY,
        }
    if key is not None and version.before(_SENDS_KEY):
        raise StoreRefused(
            "Milvus 2.6.0 sends no API key to a service that reranks",
            value=version.text,
            next_step="Upgrade Milvus, or let the service accept requests without a key.",
        )
    calls = MilvusCalls(version, min(max_texts, RERANK_CHUNK))
    params: FunctionParams = {
        "reranker": "model",
        "provider": "tei",
        "endpoint": f"{service}?{urlencode({'encoder': encoder, 'deadline': calls.deadline})}",
        "max_client_batch_size": calls.chunk,
    }
    if not version.at_least(_READS_CLIENT_BATCH):
        params["max_batch"] = calls.chunk
    if calls.timeout_ms is not None:
        params["timeout_ms"] = calls.timeout_ms
    return params | credential_params(key, version)


def check_rerank_column(name: str, version: ServerVersion, *, nullable: bool) -> None:
    """Raise StoreRefused for a column that may be null, which Milvus before 3.0 does not rerank by."""
    if nullable and version.before(THREE):
        raise StoreRefused(
            "Milvus before 3.0 does not rerank by a column that may be NULL",
            value=name,
            next_step="Rerank by a column that is NOT NULL, or upgrade Milvus to 3.0.",
        )


def check_ranker(name: str, version: ServerVersion) -> None:
    """Raise StoreRefused for ``DECAY`` or ``BOOST`` on a server that does not have it."""
    since = _RANKERS_SINCE[name]
    if version.before(since):
        raise StoreRefused(
            f"{name} needs Milvus {'.'.join(map(str, since))} or later",
            value=version.text,
            next_step="Upgrade Milvus, or omit it.",
        )
