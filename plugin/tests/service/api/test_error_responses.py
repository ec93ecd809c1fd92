from __future__ import annotations

import json
import logging

import pytest

from nestvec.service.api.error_responses import error_response
from nestvec_schemas.errors import EngineUnavailable, NotOffered, Overloaded, Unauthorized

GONE = NotOffered("a cause", value="x", next_step="A step.")


@pytest.mark.parametrize("path", ["/embed", "/rerank", "/tokenize", "/embed_sparse", "/nope", "/"])
def test_the_shape_of_tei(path: str) -> None:
    answer = error_response(path, GONE)
    assert answer.status_code == 424
    assert json.loads(answer.body) == {"error": "a cause: x. A step.", "error_type": "Backend"}


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/v1/nope"])
def test_the_shape_of_openai(path: str) -> None:
    answer = error_response(path, GONE)
    assert answer.status_code == 404
    assert json.loads(answer.body)["error"] == {
        "message": "a cause: x. A step.",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }


@pytest.mark.parametrize("path", ["/v2/embed", "/v2/rerank", "/v1/rerank", "/v2/nope"])
def test_the_shape_of_cohere(path: str) -> None:
    answer = error_response(path, GONE)
    assert answer.status_code == 404
    body = json.loads(answer.body)
    assert body.pop("id")
    assert body == {"message": "a cause: x. A step."}


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/v2/embed"])
def test_when_to_come_back_is_told(path: str) -> None:
    full = Overloaded("a cause", next_step="A step.")
    full.retry_after = 3
    answer = error_response(path, full)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    answer = error_response(path, EngineUnavailable("a cause", next_step="A step."))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "retry-after" not in error_response(path, GONE).headers


def test_a_missing_key_is_told_which_scheme() -> None:
    answer = error_response("/embed", Unauthorized("a cause", next_step="A step."))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_an_unforeseen_error_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = error_response("/embed", ValueError("inner detail"))
    assert answer.status_code == 424
    assert b"inner detail" not in answer.body
    assert "inner detail" in caplog.text
