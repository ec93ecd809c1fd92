"""Which error answers with which status in which face: one table, the first match counts."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec_schemas import errors


@dataclass(frozen=True)
class Status:
    """TEI's status and ``error_type``; the status, ``type`` and ``code`` of OpenAI; Cohere's status."""

    tei: int
    tei_type: str
    openai: int
    openai_type: str
    cohere: int
    openai_code: str | None = None


_INVALID = "invalid_request_error"

TABLE: tuple[tuple[type[errors.NestvecError], Status], ...] = (
    (errors.PathUnknown, Status(404, "Validation", 404, _INVALID, 404)),
    (errors.Unauthorized, Status(401, "Unauthorized", 401, _INVALID, 401, "invalid_api_key")),
    (errors.NotOffered, Status(424, "Backend", 404, _INVALID, 404, "model_not_found")),
    (errors.EmptyInput, Status(400, "Empty", 400, _INVALID, 400)),
    (errors.BodyNotJson, Status(400, "Validation", 400, _INVALID, 400)),
    (errors.BodyTooLarge, Status(413, "Validation", 413, _INVALID, 413)),
    (errors.BodyTooSlow, Status(408, "Validation", 408, _INVALID, 408)),
    (errors.RequestError, Status(422, "Validation", 400, _INVALID, 400)),
    (errors.DimNotOffered, Status(422, "Validation", 400, _INVALID, 400, "invalid_dimensions")),
    (errors.ExitNotOffered, Status(422, "Validation", 400, _INVALID, 400, "invalid_exit")),
    (errors.ExpertNotOffered, Status(422, "Validation", 400, _INVALID, 400, "invalid_expert")),
    (errors.EncoderNotFound, Status(404, "Validation", 404, _INVALID, 404, "model_not_found")),
    (errors.Overloaded, Status(429, "Overloaded", 429, "rate_limit_error", 429, "rate_limit_exceeded")),
    (errors.DeadlineExceeded, Status(504, "Backend", 504, "server_error", 504, "timeout")),
    (errors.EngineUnavailable, Status(503, "Unhealthy", 503, "server_error", 503)),
    (errors.EngineError, Status(424, "Backend", 500, "server_error", 500)),
)

_UNKNOWN = Status(500, "Backend", 500, "server_error", 500)


def status_of(error: errors.NestvecError) -> Status:
    """The row of the table for an error."""
    return next((status for kind, status in TABLE if isinstance(error, kind)), _UNKNOWN)
