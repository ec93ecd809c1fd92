"""Errors as answers, each in the shape of the face that was called."""

from __future__ import annotations

import logging

import orjson
from fastapi import Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from nestvec.service.statuses import status_of
from nestvec_schemas.errors import BodyInvalid, BodyNotJson, EngineError, NestvecError, PathUnknown

logger = logging.getLogger(__name__)

_OPENAI_PATHS = ("/v1/", "/embeddings")


def error_response(path: str, error: Exception) -> Response:
    """An answer in the shape of the face that ``path`` belongs to (contracts: TEI's and OpenAI's)."""
    ours = as_ours(error, path)
    status, message = status_of(ours), str(ours)
    if path.startswith(_OPENAI_PATHS):
        told = {"message": message, "type": status.openai_type, "param": None, "code": status.openai_code}
        return _json({"error": told}, status.openai)
    return _json({"error": message, "error_type": status.tei_type}, status.tei)


def as_ours(error: BaseException, path: str) -> NestvecError:
    """Any exception as one of the tree; an unforeseen one is logged, and its text is not told."""
    if isinstance(error, NestvecError):
        return error
    if isinstance(error, RequestValidationError):
        return _wrong_request(error)
    if isinstance(error, HTTPException):
        return _http(error, path)
    logger.error("unforeseen error", exc_info=error)
    return EngineError("the service failed", next_step="Look at its log.")


def _http(error: HTTPException, path: str) -> NestvecError:
    if isinstance(error.__cause__, NestvecError):
        return error.__cause__
    if error.status_code in (404, 405):
        return PathUnknown(
            "there is nothing at this path with this method",
            value=path,
            next_step="The paths are at /docs.",
        )
    # Bytes that are not UTF-8, or nesting too deep for the parser: FastAPI tells both as 400.
    return BodyNotJson("the body cannot be read as JSON", value=str(error.__cause__), next_step=_EXAMPLE)


def _wrong_request(error: RequestValidationError) -> NestvecError:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        found = first.get("ctx", {}).get("error", "")
        return BodyNotJson("the body is not JSON", value=found, next_step=_EXAMPLE)
    if first["loc"] == ("body",):
        return BodyNotJson(
            "the body is not a JSON object",
            value=first["msg"],
            next_step=f"{_EXAMPLE} The content type is application/json.",
        )
    where = ".".join(str(part) for part in first["loc"][:2])
    return BodyInvalid(f"{where} is wrong", value=first["msg"], next_step="The shapes are at /docs.")


def _json(body: object, status: int) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


_EXAMPLE = 'Send an object, for example {"inputs": ["text"]} to /embed.'
