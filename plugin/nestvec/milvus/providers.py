"""How each kind of Milvus is told to call the service: function params, written and read back.

A row a provider. Milvus Lite has only ``openai`` and takes a base URL; Milvus from 2.6 has ``tei``,
overwrites the endpoint's path and keeps its query string, where encoder, dim, exit and expert travel.
Of its providers only ``cohere`` fills INT8_VECTOR, and that one has an address for the whole cluster, in
milvus.yaml: which service it is, the field's description says. So it does of binary and sparse fields, which
no function fills, but ``nestvec ingest`` does. Milvus Lite keeps no descriptions of fields: of sparse ones,
which it has, a property of the collection says the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from nestvec_schemas.errors import NestvecError, ServiceError
from nestvec_schemas.model_name import named, parted

Provider = Literal["openai", "tei", "cohere"]

Caller = Provider | Literal["nestvec"]
"""Who asks the service for a field's vectors: Milvus by a provider, or nestvec as it writes the rows."""

CHUNK = 1024
"""Texts in one call of Milvus's ``tei`` provider. Milvus takes 5 chunks an insert: 5,120 rows."""

_NO_KEY = "unused"
"""Milvus Lite demands an API key of every service, also of one that has none."""

_NOTE = "nestvec: "
"""How the description of a field begins that says who fills it."""

_PROPERTY = "nestvec.embed."
"""How the name of a collection's property begins that says the same of a field."""


@dataclass(frozen=True)
class Endpoint:
    """Who calls whom: the service's base URL (scheme, host, port), the encoder there, its exit and expert.

    ``exit`` None is the deepest, ``expert`` None the encoder's own weights; ``top`` is how many of a text's
    largest weights a sparse field keeps, None all.
    """

    provider: Caller
    service: str
    encoder: str
    exit: int | None = None
    expert: str | None = None
    top: int | None = None

    @property
    def name(self) -> str:
        """Encoder, expert and exit as a model's name."""
        return named(self.encoder, self.exit, self.expert)


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
    """All that a function's params say. ``documents`` and ``queries`` are prompts put before each text;
    ``exit`` None is the deepest, ``expert`` None the encoder's own weights, ``top`` None all weights of a
    sparse vector."""

    service: str
    encoder: str
    dim: int
    documents: str = ""
    queries: str = ""
    chunk: int = CHUNK
    key: ServiceKey | None = None
    exit: int | None = None
    expert: str | None = None
    top: int | None = None


def write_params(provider: Provider, call: Call) -> dict[str, str | int]:
    """The params of a TEXTEMBEDDING function of this provider (contracts: Milvus 2.6, Milvus Lite 3.2)."""
    return _WRITERS[provider](call)


def read_params(params: Mapping[str, Any]) -> Endpoint | None:
    """Whom a function's params name; None where it is not a nestvec service, or the params do not say.

    ``cohere`` never says: see ``read_note``.
    """
    reader = _READERS.get(str(params.get("provider", "")).lower())
    try:
        return reader(params) if reader else None
    except (NestvecError, ValueError):  # a name with an @ of another kind, or a port that is none
        return None


def rerank_params(lite: bool, service: str, encoder: str, most: int) -> dict[str, str | int]:
    """The params of a RERANK function that has ``encoder`` score at most ``most`` texts with a query.

    Milvus Lite has Cohere's shape alone and takes a base URL; Milvus has ``tei``, and keeps the endpoint's
    query string. Milvus scores batch by batch: one batch takes them all, so that no score depends on it.
    """
    key = environment_key()
    if lite:
        return {
            "reranker": "model",
            "provider": "cohere",
            "model_name": encoder,
            "base_url": f"{service}/v2",
            "api_key": key.api_key if key else _NO_KEY,
        }
    params: dict[str, str | int] = {
        "reranker": "model",
        "provider": "tei",
        "endpoint": f"{service}?{urlencode({'encoder': encoder})}",
        "max_client_batch_size": most,
    }
    return params | ({"credential": key.credential} if key is not None else {})


def write_note(call: Call, source: str) -> str:
    """What the description of a field says that ``call`` fills from the column ``source``."""
    return f"{_NOTE}{call.service}?{_query(call)}&{urlencode({'source': source})}"


def note_property(column: str) -> str:
    """The property of a collection that holds a field's note."""
    return f"{_PROPERTY}{column}"


def read_note(description: str, provider: Caller) -> tuple[str, Endpoint] | None:
    """The source column, and whom ``provider`` calls; None where the description is about something else."""
    if not description.startswith(_NOTE):
        return None
    try:
        address = description.removeprefix(_NOTE)
        source = parse_qs(urlsplit(address).query).get("source")
        endpoint = _read_address(address, provider)
    except ValueError:
        return None
    return (source[0], endpoint) if source and endpoint else None


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


def _query(call: Call) -> str:
    asked = {
        "encoder": call.encoder,
        "dim": call.dim,
        "exit": call.exit,
        "expert": call.expert,
        "top": call.top,
    }
    return urlencode({key: value for key, value in asked.items() if value is not None})


def _read_address(address: str, provider: Caller) -> Endpoint | None:
    parts = urlsplit(address)
    found = parse_qs(parts.query)
    if "encoder" not in found:
        return None
    exit, top = (int(found[name][0]) if name in found else None for name in ("exit", "top"))
    expert = found["expert"][0] if "expert" in found else None
    return Endpoint(provider, f"{parts.scheme}://{parts.netloc}", found["encoder"][0], exit, expert, top)


def _write_tei(call: Call) -> dict[str, str | int]:
    params: dict[str, str | int] = {
        "provider": "tei",
        "endpoint": f"{call.service}?{_query(call)}",
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
    return _read_address(str(params.get("endpoint", "")), "tei")


def _write_openai(call: Call) -> dict[str, str | int]:
    return {
        "provider": "openai",
        "base_url": f"{call.service}/v1",
        "model_name": named(call.encoder, call.exit, call.expert),
        "dimensions": call.dim,
        "api_key": call.key.api_key if call.key else _NO_KEY,
    }


def _read_openai(params: Mapping[str, Any]) -> Endpoint | None:
    parts = urlsplit(str(params.get("base_url", "")))
    name = str(params.get("model_name", ""))
    if not parts.netloc or not name:
        return None
    return Endpoint("openai", f"{parts.scheme}://{parts.netloc}", *parted(name))


def _write_cohere(call: Call) -> dict[str, str | int]:
    # The prompts are the service's: Milvus says which of them by the input type.
    params: dict[str, str | int] = {
        "provider": "cohere",
        "model_name": named(call.encoder, call.exit, call.expert),
        "dim": call.dim,
    }
    if call.key is not None:
        params["credential"] = call.key.credential
    return params


_WRITERS: dict[str, Callable[[Call], dict[str, str | int]]] = {
    "tei": _write_tei,
    "openai": _write_openai,
    "cohere": _write_cohere,
}
_READERS: dict[str, Callable[[Mapping[str, Any]], Endpoint | None]] = {
    "tei": _read_tei,
    "openai": _read_openai,
}
