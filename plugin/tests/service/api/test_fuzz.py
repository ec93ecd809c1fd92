"""Any JSON at any path: an answer, or an error in the face's own shape; never the service's fault."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(
        [
            10**30,
            -(2**63),
            "",
            "w1",
            "\ud800",
            "tiny",
            "tiny@2",
            "tiny@x",
            "float",
            "int8",
            "search_query",
            "END",
        ]
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
texts = st.lists(st.text(st.characters(), max_size=20), max_size=4)
ids = st.lists(st.integers(-2, 2**33), max_size=4)

FIELDS: dict[str, tuple[str, ...]] = {
    "/embed": (
        "inputs",
        "truncate",
        "truncation_direction",
        "prompt_name",
        "normalize",
        "dimensions",
        "encoder",
        "exit",
    ),
    "/tokenize": ("inputs", "add_special_tokens", "prompt_name"),
    "/embed_sparse": ("inputs", "truncate", "prompt_name"),
    "/rerank": ("query", "texts", "documents", "truncate", "top_n"),
    "/v1/embeddings": (
        "input",
        "model",
        "encoding_format",
        "dimensions",
        "exit",
        "user",
        "output_dtype",
        "output_dimension",
        "input_type",
        "truncation",
    ),
    "/v2/embed": (
        "texts",
        "model",
        "input_type",
        "embedding_types",
        "truncate",
        "output_dimension",
        "exit",
        "images",
        "inputs",
    ),
    "/embed_all": ("inputs", "truncate", "truncation_direction", "prompt_name"),
    "/v2/rerank": ("query", "documents", "model", "top_n"),
    "/v1/embed": ("texts", "model", "input_type", "embedding_types", "truncate", "images"),
    "/models/tiny": ("inputs", "parameters", "normalize", "prompt_name", "truncate", "dimensions"),
    "/similarity": ("inputs", "parameters", "prompt_name", "truncate"),
    "/pooling": ("input", "model", "encoding_format", "dimensions", "truncate_prompt_tokens"),
    "/score": ("text_1", "text_2", "queries", "documents", "model"),
}


def message_of(path: str, body: Any) -> str:
    if path in ("/v1/embeddings", "/pooling", "/score"):
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return str(body["error"]["message"])
    if path.startswith(("/v1", "/v2")):
        assert set(body) == {"id", "message"}
        return str(body["message"])
    assert set(body) == {"error", "error_type"}
    return str(body["error"])


@pytest.mark.parametrize("path", FIELDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_is_answered_or_refused(service: str, path: str, data: st.DataObject) -> None:
    fields = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS[path], values | texts | ids))
    body = data.draw(fields | values)
    answer = httpx.post(
        f"{service}{path}", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    if answer.status_code == 200:
        answer.json()
    else:
        assert answer.status_code in (400, 404, 422, 424), answer.text
        message = message_of(path, answer.json())
        assert message
        assert "the service failed" not in message
