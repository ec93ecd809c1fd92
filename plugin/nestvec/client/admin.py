"""An operator's requests to a running service."""

from __future__ import annotations

import os
from typing import Final

import httpx
from pydantic import BaseModel

from nestvec.client.http import http_client, translate_http_errors
from nestvec_schemas.errors import ServiceError, ServiceRefused

_RELOAD_SECONDS: Final = 600.0
"""Large encoders take a while to open."""

ADMIN_KEY_VARIABLE: Final = "NESTVEC_ADMIN_KEY"


class UnreadPart(BaseModel):
    """What stayed as it was, and why."""

    name: str
    error: str


class ReloadReport(BaseModel):
    """What a reload did, by encoder."""

    added: list[str]
    replaced: list[str]
    removed: list[str]
    failed: list[UnreadPart]
    notes: dict[str, str]
    aliases: dict[str, str]
    options: list[str] = []
    """Options that have another value now."""
    needs_restart: list[str] = []
    """Options that have another value in the configuration, which the service does not take up yet."""


def request_reload(service: str) -> ReloadReport:
    """Have a service read keys, options and encoders again, with the admin key in the environment.

    Raises ServiceError without a key, ServiceUnreachable, ServiceRefused.
    """
    key = os.environ.get(ADMIN_KEY_VARIABLE)
    if not key:
        raise ServiceError(
            "a reload needs an admin key",
            next_step=f"Set the variable {ADMIN_KEY_VARIABLE} to one of the keys in the service's "
            "--admin-keys.",
        )
    with translate_http_errors(service), http_client(service, key, _RELOAD_SECONDS) as client:
        answer = client.post("/admin/reload")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise ServiceRefused(
                f"the service at {service} does not accept the admin key",
                next_step=f"Set {ADMIN_KEY_VARIABLE} to one of the keys in its --admin-keys.",
            )
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ServiceRefused(
                f"the service at {service} has no admin keys",
                next_step="Start it with --admin-keys, or send its process SIGHUP.",
            )
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise ServiceRefused(
                f"the service at {service} changed nothing",
                value=answer.json().get("error"),
                next_step="Correct it, then reload again.",
            )
        if answer.status_code != httpx.codes.CONFLICT:
            answer.raise_for_status()
        return ReloadReport.model_validate_json(answer.content)
