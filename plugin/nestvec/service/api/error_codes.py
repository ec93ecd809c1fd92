"""Which error answers with which status in which face: one table, the first match counts."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec_schemas import errors


@dataclass(frozen=True)
class ErrorCodes:
    """TEI's status and ``error_type``; the status, ``type`` and ``code`` of OpenAI; Cohere's status."""

    tei: int
    tei_type: str
    openai: int
    openai_type: str
    cohere: int
    openai_code: str | None = None


_INVALID = "invalid_request_error"

ERROR_CODES: tuple[tuple[type[errors.NestvecError], ErrorCodes], ...] = (
    (errors.PathUnknown, ErrorCodes(404, "Validation", 404, _INVALID, 404)),
    (errors.Unauthorized, ErrorCodes(401, "Unauthorized", 401, _INVALID, 401, "invalid_api_key")),
    (errors.NotOffered, ErrorCodes(424, "Backend", 404, _INVALID, 404, "model_not_found")),
    (errors.EmptyInput, ErrorCodes(400, "Empty", 400, _INVALID, 400)),
    (errors.BodyNotJson, ErrorCodes(400, "Validation", 400, _INVALID, 400)),
    (errors.BodyTooLarge, ErrorCodes(413, "Validation", 413, _INVALID, 413)),
    (errors.BodyTooSlow, ErrorCodes(408, "Validation", 408, _INVALID, 408)),
    (errors.RequestError, ErrorCodes(422, "Validation", 400, _INVALID, 400)),
    (errors.DimNotOffered, ErrorCodes(422, "Validation", 400, _INVALID, 400, "invalid_dimensions")),
    (errors.ExitNotOffered, ErrorCodes(422, "Validation", 400, _INVALID, 400, "invalid_exit")),
    (errors.ExpertNotOffered, ErrorCodes(422, "Validation", 400, _INVALID, 400, "invalid_expert")),
    (errors.EncoderNotFound, ErrorCodes(404, "Validation", 404, _INVALID, 404, "model_not_found")),
    (errors.Overloaded, ErrorCodes(429, "Overloaded", 429, "rate_limit_error", 429, "rate_limit_exceeded")),
    (errors.DeadlineExceeded, ErrorCodes(504, "Backend", 504, "server_error", 504, "timeout")),
    (errors.EngineUnavailable, ErrorCodes(503, "Unhealthy", 503, "server_error", 503)),
    (errors.EngineError, ErrorCodes(424, "Backend", 500, "server_error", 500)),
)

_UNKNOWN = ErrorCodes(500, "Backend", 500, "server_error", 500)


def codes_of(error: errors.NestvecError) -> ErrorCodes:
    """The row of the table for an error."""
    return next((status for kind, status in ERROR_CODES if isinstance(error, kind)), _UNKNOWN)
