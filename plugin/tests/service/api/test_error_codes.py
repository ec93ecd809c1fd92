from __future__ import annotations

import pytest

from nestvec.service.api.error_codes import ERROR_CODES, codes_of
from nestvec_schemas import errors


@pytest.mark.parametrize(
    ("kind", "tei", "tei_type", "openai", "cohere"),
    [
        (errors.EmptyInput, 400, "Empty", 400, 400),
        (errors.BodyNotJson, 400, "Validation", 400, 400),
        (errors.BodyInvalid, 422, "Validation", 400, 400),
        (errors.BodyTooLarge, 413, "Validation", 413, 413),
        (errors.TooManyInputs, 422, "Validation", 400, 400),
        (errors.InputTooLong, 422, "Validation", 400, 400),
        (errors.ImageRefused, 422, "Validation", 400, 400),
        (errors.ImageUnreachable, 422, "Validation", 400, 400),
        (errors.ImageUnreadable, 422, "Validation", 400, 400),
        (errors.DimNotOffered, 422, "Validation", 400, 400),
        (errors.EncoderNotFound, 404, "Validation", 404, 404),
        (errors.PathUnknown, 404, "Validation", 404, 404),
        (errors.MethodNotAllowed, 405, "Validation", 405, 405),
        (errors.Unauthorized, 401, "Unauthorized", 401, 401),
        (errors.NotOffered, 424, "Backend", 404, 404),
        (errors.Overloaded, 429, "Overloaded", 429, 429),
        (errors.DeadlineExceeded, 504, "Backend", 504, 504),
        (errors.EngineUnavailable, 503, "Unhealthy", 503, 503),
        (errors.EngineError, 424, "Backend", 500, 500),
        (errors.StoreError, 500, "Backend", 500, 500),
    ],
)
def test_each_error_has_its_status(
    kind: type[errors.NestvecError], tei: int, tei_type: str, openai: int, cohere: int
) -> None:
    codes = codes_of(kind("a cause", next_step="A step."))
    assert (codes.tei, codes.openai.status, codes.cohere) == ((tei, tei_type), openai, cohere)


def test_no_row_hides_a_later_one() -> None:
    for position, (kind, _) in enumerate(ERROR_CODES):
        assert not any(issubclass(kind, earlier) for earlier, _ in ERROR_CODES[:position])
