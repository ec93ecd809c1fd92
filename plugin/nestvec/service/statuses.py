"""Which error answers with which status in which face: one table, the first match counts."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec_schemas import errors


@dataclass(frozen=True)
class Status:
    """TEI's status and ``error_type``; OpenAI's status, ``type`` and ``code``."""

    tei: int
    tei_type: str
    openai: int
    openai_type: str
    openai_code: str | None = None


_INVALID = "invalid_request_error"

TABLE: tuple[tuple[type[errors.NestvecError], Status], ...] = (
    (errors.PathUnknown, Status(404, "Validation", 404, _INVALID)),
    (errors.EmptyInput, Status(400, "Empty", 400, _INVALID)),
    (errors.BodyNotJson, Status(400, "Validation", 400, _INVALID)),
    (errors.BodyTooLarge, Status(413, "Validation", 413, _INVALID)),
    (errors.RequestError, Status(422, "Validation", 400, _INVALID)),
    (errors.DimNotOffered, Status(422, "Validation", 400, _INVALID, "invalid_dimensions")),
    (errors.EncoderNotFound, Status(404, "Validation", 404, _INVALID, "model_not_found")),
    (errors.EngineError, Status(424, "Backend", 500, "server_error")),
)

_UNKNOWN = Status(500, "Backend", 500, "server_error")


def status_of(error: errors.NestvecError) -> Status:
    """The row of the table for an error."""
    return next((status for kind, status in TABLE if isinstance(error, kind)), _UNKNOWN)
