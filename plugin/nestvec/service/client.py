"""Asking a service what it holds."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from nestvec_schemas.errors import EncoderNotFound, ServiceRefused, ServiceUnreachable, nearest

_SECONDS = 5.0


class EncoderInfo(BaseModel):
    """What a service says of one encoder."""

    dim: int
    dims: tuple[int, ...]
    max_tokens: int
    prompts: dict[str, str]


class ServiceInfo(BaseModel):
    """What a service says of itself."""

    encoders: Mapping[str, EncoderInfo]
    max_client_batch_size: int

    def encoder(self, name: str, service: str) -> EncoderInfo:
        """One encoder. Raises EncoderNotFound with the nearest name."""
        if name not in self.encoders:
            raise EncoderNotFound(
                f"the service at {service} has no encoder of this name",
                value=name,
                next_step=f"There: {', '.join(sorted(self.encoders))}.{nearest(name, self.encoders)} "
                "Export it into the service's model repository, then restart the service.",
            )
        return self.encoders[name]


def ask_info(service: str, key: str | None = None) -> ServiceInfo:
    """``GET /info``, with an API key where the service wants one.

    A service with TLS must have a certificate that this machine trusts, or that ``SSL_CERT_FILE`` holds.
    Raises ServiceUnreachable, ServiceRefused (also when it is not a nestvec service).
    """
    try:
        answer = httpx.get(
            f"{service}/info",
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=_SECONDS,
            trust_env=not is_loopback(service),
            verify=ssl.create_default_context() if service.startswith("https:") else True,
        )
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise _unauthorized(service, key)
        answer.raise_for_status()
        return ServiceInfo.model_validate_json(answer.content)
    except httpx.HTTPStatusError as error:
        raise ServiceRefused(
            f"what answers at {service} is not a nestvec service, or refuses",
            value=f"status {error.response.status_code}",
            next_step="Correct the address; a service is started with nestvec serve --models MODELS.",
        ) from error
    except httpx.HTTPError as error:
        raise ServiceUnreachable(
            f"no service answers at {service}",
            value=str(error) or type(error).__name__,
            next_step="Start it: nestvec serve --models MODELS, or correct the address.",
        ) from error
    except ValidationError as error:
        raise ServiceRefused(
            f"what answers at {service} is not a nestvec service",
            value=error.errors()[0]["msg"],
            next_step="Correct the address, or stop what listens there.",
        ) from error


def _unauthorized(service: str, key: str | None) -> ServiceRefused:
    cause = "does not know the API key" if key else "wants an API key"
    return ServiceRefused(
        f"the service at {service} {cause}",
        next_step="Put one of its keys into the environment variable NESTVEC_API_KEY.",
    )


def is_loopback(service: str) -> bool:
    """Whether a URL's host is this machine's own."""
    host = urlsplit(service).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
