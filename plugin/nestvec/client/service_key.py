"""The address and the API key of a service."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from nestvec_schemas.errors import ServiceError


@dataclass(frozen=True)
class ServiceKey:
    """The credentials for a service with API keys."""

    api_key: str = field(repr=False)
    """The key. Milvus Lite writes it into the collection's schema."""

    credential: str = ""
    """Name of the entry under ``credential`` in milvus.yaml that holds the key, for Milvus from 2.6."""


def environment_key() -> ServiceKey | None:
    """The key in NESTVEC_API_KEY, with the name in NESTVEC_CREDENTIAL; None if there is none."""
    api_key = os.environ.get("NESTVEC_API_KEY", "")
    return ServiceKey(api_key, os.environ.get("NESTVEC_CREDENTIAL", "")) if api_key else None


def environment_api_key() -> str | None:
    """The key in NESTVEC_API_KEY; None if there is none."""
    key = environment_key()
    return key.api_key if key else None


def base_url(service: str) -> str:
    """The service's URL as scheme, host and port. Raises ServiceError for any other URL."""
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
            next_step="Write the address alone: Milvus replaces the path, and nestvec adds encoder and dim.",
        )
    return f"{parts.scheme}://{parts.netloc}"
