"""Errors as responses, each in the format of the API that was called."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from nestvec.service.api.error_codes import ERROR_CODES, ErrorCodes, codes_of
from nestvec_schemas.errors import (
    BodyInvalid,
    BodyNotJson,
    DeadlineExceeded,
    EngineError,
    MethodNotAllowed,
    NestvecError,
    Overloaded,
    PathUnknown,
)

logger = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1
_EXAMPLE: Final = 'Send an object, for example {"inputs": ["text"]} to /embed.'


class TeiError(BaseModel):
    error: str
    error_type: str


class OpenAIErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    error: OpenAIErrorDetail


class CohereError(BaseModel):
    id: str
    message: str


ErrorBody = tuple[int, BaseModel]
"""The status and the body of an error."""


def _tei_error(codes: ErrorCodes, message: str) -> ErrorBody:
    return codes.tei.status, TeiError(error=message, error_type=codes.tei.error_type)


def _openai_error(codes: ErrorCodes, message: str) -> ErrorBody:
    status, type_, code = codes.openai
    return status, OpenAIError(error=OpenAIErrorDetail(message=message, type=type_, param=None, code=code))


def _cohere_error(codes: ErrorCodes, message: str) -> ErrorBody:
    return codes.cohere, CohereError(id=str(uuid.uuid4()), message=message)


ERROR_FORMATS: Final[tuple[tuple[str, Callable[[ErrorCodes, str], ErrorBody]], ...]] = (
    ("/v2/", _cohere_error),
    ("/v1/rerank", _cohere_error),
    ("/v1/embeddings", _openai_error),
    ("/v1/embed", _cohere_error),
    ("/v1/", _openai_error),
    ("/embeddings", _openai_error),
    ("/pooling", _openai_error),
    ("/score", _openai_error),
    ("/classify", _openai_error),
    ("", _tei_error),
)
"""The format of a path's errors: the first prefix that fits."""


def error_response(path: str, error: Exception) -> Response:
    """An error in the format of the API that ``path`` belongs to."""
    nestvec_error = to_nestvec_error(error, path)
    status, body = _format_of(path)(codes_of(nestvec_error), str(nestvec_error))
    headers = {}
    if status in (429, 503, 504):
        seconds = _RETRY_SECONDS
        if isinstance(nestvec_error, Overloaded | DeadlineExceeded):
            seconds = nestvec_error.retry_after
        headers["retry-after"] = str(seconds)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(nestvec_error, MethodNotAllowed):
        headers["allow"] = ", ".join(nestvec_error.allowed)
    content = orjson.dumps(body.model_dump())
    return Response(content, status_code=status, media_type="application/json", headers=headers)


def error_models(path: str) -> dict[int | str, dict[str, Any]]:
    """Every status and model that ``error_response`` may use at ``path``, for the OpenAPI document."""
    bodies = [_format_of(path)(codes, "") for _, codes in ERROR_CODES]
    return {
        status: {"model": type(body), "description": HTTPStatus(status).phrase}
        for status, body in sorted(bodies, key=lambda status_and_body: status_and_body[0])
    }


def _format_of(path: str) -> Callable[[ErrorCodes, str], ErrorBody]:
    return next(write for prefix, write in ERROR_FORMATS if path.startswith(prefix))


def to_nestvec_error(error: BaseException, path: str) -> NestvecError:
    """Any exception as a NestvecError; an unexpected one is logged, and its text is not disclosed."""
    if isinstance(error, NestvecError):
        return error
    if isinstance(error, RequestValidationError):
        return _validation_error(error)
    if isinstance(error, HTTPException):
        return _http_error(error, path)
    logger.error("unexpected error", exc_info=error)
    return EngineError("the service failed", next_step="See its log.")


def _http_error(error: HTTPException, path: str) -> NestvecError:
    if isinstance(error.__cause__, NestvecError):
        return error.__cause__
    if error.status_code == 405:
        return _method_not_allowed((error.headers or {}).get("allow", ""), path)
    if error.status_code == 404:
        return PathUnknown(
            "the service has no endpoint with this path",
            value=path,
            next_step="The paths are listed at /docs.",
        )
    # Bytes that are not UTF-8, or nesting too deep for the parser: FastAPI raises 400 for both.
    return BodyNotJson("the body cannot be read as JSON", value=str(error.__cause__), next_step=_EXAMPLE)


def _method_not_allowed(allowed: str, path: str) -> MethodNotAllowed:
    error = MethodNotAllowed(
        "the service has this path, but not with this method",
        value=path,
        next_step=f"Call it with {allowed.replace(', ', ' or ')}.",
    )
    error.allowed = tuple(allowed.split(", "))
    return error


def _validation_error(error: RequestValidationError) -> NestvecError:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        parse_error = first.get("ctx", {}).get("error", "")
        return BodyNotJson("the body is not JSON", value=parse_error, next_step=_EXAMPLE)
    if first["loc"] == ("body",):
        return BodyNotJson(
            "the body is not a JSON object",
            value=first["msg"],
            next_step=f"{_EXAMPLE} The content type is application/json.",
        )
    where = ".".join(str(part) for part in first["loc"][:2])
    return BodyInvalid(f"{where} is invalid", value=first["msg"], next_step="The schemas are at /docs.")
