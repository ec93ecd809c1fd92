"""What FastAPI's OpenAPI document does not say by itself: the API key, and which paths need none."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from nestvec.service.middleware.api_keys import PUBLIC_PATHS

BEARER: Final = "bearer"
"""Name of the security scheme."""

_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, where the service was started with --api-keys.",
}


def describe_security(app: FastAPI, *, needs_key: bool) -> None:
    """Add the bearer scheme to the app's OpenAPI document; ``needs_key`` also requires it where the service
    does."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            document.setdefault("components", {})["securitySchemes"] = {BEARER: _SCHEME}
            if needs_key:
                _require_key(document)
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


def _require_key(document: dict[str, Any]) -> None:
    document["security"] = [{BEARER: []}]
    for path in PUBLIC_PATHS:
        for operation in document["paths"].get(path, {}).values():
            operation["security"] = []
