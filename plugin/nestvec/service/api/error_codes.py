"""Which status and codes each error has in each API: one table, the first match counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from nestvec_schemas import errors


class TeiCode(NamedTuple):
    """A status and the ``error_type``."""

    status: int
    error_type: str


class OpenAICode(NamedTuple):
    """A status, the ``type`` and the ``code``."""

    status: int
    type: str = "invalid_request_error"
    code: str | None = None


@dataclass(frozen=True)
class ErrorCodes:
    """What each API answers for an error; Cohere's has only a status."""

    tei: TeiCode
    openai: OpenAICode
    cohere: int


def _codes(tei: tuple[int, str], status: int, code: str | None = None) -> ErrorCodes:
    """A client's error: OpenAI and Cohere share the status."""
    return ErrorCodes(TeiCode(*tei), OpenAICode(status, code=code), status)


def _server_error(tei: tuple[int, str], status: int, code: str | None = None) -> ErrorCodes:
    return ErrorCodes(TeiCode(*tei), OpenAICode(status, "server_error", code), status)


_OVERLOADED: Final = ErrorCodes(
    TeiCode(429, "Overloaded"), OpenAICode(429, "rate_limit_error", "rate_limit_exceeded"), 429
)

_PROMPT: Final = ErrorCodes(TeiCode(422, "Validation"), OpenAICode(400, code="invalid_prompt"), 422)

ERROR_CODES: Final[tuple[tuple[type[errors.NestvecError], ErrorCodes], ...]] = (
    (errors.PathUnknown, _codes((404, "Validation"), 404)),
    (errors.MethodNotAllowed, _codes((405, "Validation"), 405, "method_not_allowed")),
    (errors.HostNotAllowed, _codes((421, "Validation"), 421, "host_not_allowed")),
    (errors.Unauthorized, _codes((401, "Unauthorized"), 401, "invalid_api_key")),
    (errors.NotOffered, _codes((424, "Backend"), 404, "model_not_found")),
    (errors.EmptyInput, _codes((400, "Empty"), 400)),
    (errors.BodyNotJson, _codes((400, "Validation"), 400)),
    (errors.BodyTooLarge, _codes((413, "Validation"), 413)),
    (errors.BodyTooSlow, _codes((408, "Validation"), 408)),
    (errors.BodyTypeUnsupported, _codes((415, "Validation"), 415)),
    (errors.RequestError, _codes((422, "Validation"), 400)),
    (errors.DimNotOffered, _codes((422, "Validation"), 400, "invalid_dimensions")),
    (errors.ExitNotOffered, _codes((422, "Validation"), 400, "invalid_exit")),
    (errors.ExpertNotOffered, _codes((422, "Validation"), 400, "invalid_expert")),
    (errors.PromptNotOffered, _PROMPT),
    (errors.AliasInvalid, _codes((422, "Validation"), 400)),
    (errors.EncoderNotFound, _codes((404, "Validation"), 404, "model_not_found")),
    (errors.Overloaded, _OVERLOADED),
    (errors.DeadlineExceeded, _server_error((504, "Backend"), 504, "timeout")),
    (errors.EngineUnavailable, _server_error((503, "Unhealthy"), 503)),
    (errors.EngineError, _server_error((424, "Backend"), 500)),
)

_UNKNOWN: Final = _server_error((500, "Backend"), 500)


def codes_of(error: errors.NestvecError) -> ErrorCodes:
    """The table's row for an error."""
    return next((codes for kind, codes in ERROR_CODES if isinstance(error, kind)), _UNKNOWN)
