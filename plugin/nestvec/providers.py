"""How each kind of Milvus is told to call the service: function params, written and read back.

A row a provider. Milvus Lite has only ``openai`` and takes a base URL; Milvus from 2.6 has ``tei``,
overwrites the endpoint's path and keeps its query string, which is where encoder and dim travel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from nestvec_schemas.errors import ServiceError

Provider = Literal["openai", "tei"]

CHUNK = 1024
"""Texts in one call of Milvus's ``tei`` provider. Milvus takes 5 chunks an insert: 5,120 rows."""

_NO_KEY = "unused"
"""Milvus Lite demands an API key of every service, also of one that has none."""


@dataclass(frozen=True)
class Endpoint:
    """Whom a function calls: the service's base URL (scheme, host, port) and the encoder there."""

    provider: Provider
    service: str
    encoder: str


@dataclass(frozen=True)
class ServiceKey:
    """How a service with API keys is called: the key, and the name it has in Milvus's own configuration.

    Milvus Lite writes the key into the collection's schema. Milvus from 2.6 takes ``credential``, the name
    of an entry under ``credential`` in milvus.yaml that holds the key.
    """

    api_key: str = field(repr=False)
    credential: str = ""


@dataclass(frozen=True)
class Call:
    """All that a function's params say. ``documents`` and ``queries`` are prompts put before each text."""

    service: str
    encoder: str
    dim: int
    documents: str = ""
    queries: str = ""
    chunk: int = CHUNK
    key: ServiceKey | None = None


def write_params(provider: Provider, call: Call) -> dict[str, str | int]:
    """The params of a TEXTEMBEDDING function of this provider (contracts: Milvus 2.6, Milvus Lite 3.2)."""
    return _WRITERS[provider](call)


def read_params(params: Mapping[str, Any]) -> Endpoint | None:
    """Whom a function's params name; None where it is not a nestvec service."""
    reader = _READERS.get(str(params.get("provider", "")).lower())
    return reader(params) if reader else None


def environment_key() -> ServiceKey | None:
    """The key in NESTVEC_API_KEY, with the name in NESTVEC_CREDENTIAL; None where there is none."""
    api_key = os.environ.get("NESTVEC_API_KEY", "")
    return ServiceKey(api_key, os.environ.get("NESTVEC_CREDENTIAL", "")) if api_key else None


def base_url(service: str) -> str:
    """The service's URL as scheme, host and port. Raises ServiceError where there is more or less."""
    parts = urlsplit(service)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServiceError(
            "the service's address is not an http or https URL",
            value=service,
            next_step="Write it as http://HOST:PORT, for example http://127.0.0.1:8080.",
        )
    if parts.path not in ("", "/") or parts.query or parts.username:
        raise ServiceError(
            "the service's address has more than scheme, host and port",
            value=f"{parts.scheme}://{parts.hostname}{parts.path}",
            next_step="Give the address alone: Milvus replaces the path, and encoder and dim are added.",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _write_tei(call: Call) -> dict[str, str | int]:
    query = urlencode({"encoder": call.encoder, "dim": call.dim})
    params: dict[str, str | int] = {
        "provider": "tei",
        "endpoint": f"{call.service}?{query}",
        "max_client_batch_size": call.chunk,
    }
    if call.documents:
        params["ingestion_prompt"] = call.documents
    if call.queries:
        params["search_prompt"] = call.queries
    if call.key is not None:
        params["credential"] = call.key.credential
    return params


def _read_tei(params: Mapping[str, Any]) -> Endpoint | None:
    parts = urlsplit(str(params.get("endpoint", "")))
    encoder = parse_qs(parts.query).get("encoder")
    return Endpoint("tei", f"{parts.scheme}://{parts.netloc}", encoder[0]) if encoder else None


def _write_openai(call: Call) -> dict[str, str | int]:
    return {
        "provider": "openai",
        "base_url": f"{call.service}/v1",
        "model_name": call.encoder,
        "dimensions": call.dim,
        "api_key": call.key.api_key if call.key else _NO_KEY,
    }


def _read_openai(params: Mapping[str, Any]) -> Endpoint | None:
    parts = urlsplit(str(params.get("base_url", "")))
    name = str(params.get("model_name", ""))
    return Endpoint("openai", f"{parts.scheme}://{parts.netloc}", name) if parts.netloc and name else None


_WRITERS: dict[str, Callable[[Call], dict[str, str | int]]] = {"tei": _write_tei, "openai": _write_openai}
_READERS: dict[str, Callable[[Mapping[str, Any]], Endpoint | None]] = {
    "tei": _read_tei,
    "openai": _read_openai,
}
