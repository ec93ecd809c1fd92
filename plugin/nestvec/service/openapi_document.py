"""What FastAPI's OpenAPI document does not say by itself: the API key, paths without one, the deadline."""

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


_DEADLINE: Final = {
    "name": "deadline",
    "in": "query",
    "required": False,
    "schema": {"type": "number", "exclusiveMinimum": 0},
    "description": "Seconds from the request's first byte after which it is answered 504. Default: 25, on "
    "OpenAI's paths 55, which is also the most.",
}


def describe_security(app: FastAPI, *, needs_key: bool) -> None:
    """Add the bearer scheme and the deadline to the app's OpenAPI document.

    ``needs_key`` also requires the key where the service does.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            document.setdefault("components", {})["securitySchemes"] = {BEARER: _SCHEME}
            _add_deadline(document)
            if needs_key:
                _require_key(document)
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


def _add_deadline(document: dict[str, Any]) -> None:
    """The parameter that is read before any route is chosen."""
    for path, operations in document["paths"].items():
        if path not in PUBLIC_PATHS:
            for operation in operations.values():
                operation.setdefault("parameters", []).append(_DEADLINE)


def _require_key(document: dict[str, Any]) -> None:
    document["security"] = [{BEARER: []}]
    for path in PUBLIC_PATHS:
        for operation in document["paths"].get(path, {}).values():
            operation["security"] = []
