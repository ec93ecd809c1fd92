"""Voyage AI's fields on OpenAI's path, as its client and Milvus's ``voyageai`` provider send them."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from nestvec_schemas.vectors import cosines

URL = "/v1/embeddings"
LONG = " ".join(f"w{n}" for n in range(20))


def post(service: str, query: str = "", **body: object) -> Any:
    answer = httpx.post(f"{service}{URL}{query}", json={"model": "tiny", "input": ["w1", "w2 w3"], **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows(content: Any) -> list[Any]:
    return [item["embedding"] for item in content["data"]]


def tei(service: str, **body: object) -> Any:
    return np.float32(httpx.post(f"{service}/embed", json=body).json())


@pytest.mark.parametrize("query", ["", "?output_dtype=int8"])
@pytest.mark.parametrize(("input_type", "prompt"), [("document", "document"), ("query", "query")])
def test_as_go_milvus_writes_it(service: str, query: str, input_type: str, prompt: str) -> None:
    """Milvus 3.0 reads int8 for an INT8_VECTOR field and may send no output_dtype: the address says it."""
    dtype = b"" if query else b',"output_dtype":"int8"'
    body = (
        b'{"model":"tiny","input":["w1","w2 w3"],"input_type":"%s","truncation":true,"output_dimension":8%s}'
        % (input_type.encode(), dtype)
    )
    headers = {"content-type": "application/json", "authorization": "Bearer some-key"}
    answer = httpx.post(f"{service}{URL}{query}", content=body, headers=headers)
    assert answer.status_code == 200
    content = json.loads(answer.content)
    assert [item["index"] for item in content["data"]] == [0, 1]
    assert content["usage"]["total_tokens"] > 0
    vectors = rows(content)
    assert [len(row) for row in vectors] == [8, 8]
    assert all(isinstance(x, int) and -128 <= x <= 127 for row in vectors for x in row)
    expected = tei(service, inputs=["w1", "w2 w3"], dimensions=8, prompt_name=prompt)
    assert cosines(np.array(vectors), expected).min() > 0.999


def test_floats_of_a_milvus_field_of_floats(service: str) -> None:
    content = post(service, input_type="document", output_dimension=8)
    assert np.array_equal(np.float32(rows(content)), tei(service, inputs=["w1", "w2 w3"], dimensions=8))


@pytest.mark.parametrize(
    ("output_dtype", "numpy_type"),
    [("float", "<f4"), ("int8", "i1"), ("uint8", "u1"), ("binary", "i1"), ("ubinary", "u1")],
)
def test_base64_holds_the_numbers_of_each_type(service: str, output_dtype: str, numpy_type: str) -> None:
    """Voyage AI's client asks for base64 unless told otherwise."""
    plain = rows(post(service, output_dtype=output_dtype))
    packed = rows(
        post(service, output_dtype=output_dtype, encoding_format="base64", input_type=None, truncation=True)
    )
    decoded = [np.frombuffer(base64.b64decode(row), numpy_type) for row in packed]
    assert np.array_equal(decoded, np.array(plain, numpy_type))


def test_truncation(service: str) -> None:
    assert len(rows(post(service, input=[LONG], truncation=True))) == 1
    refused = httpx.post(f"{service}{URL}", json={"input": [LONG], "truncation": False})
    assert refused.status_code == 400
    assert "truncation is off" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"output_dtype": "int4"}, "no such output_dtype: int4. Available: float, int8, uint8"),
        ({"input_type": "qury"}, "no such input_type: qury"),
        ({"output_dimension": 4, "dimensions": 8}, "different dims: dimensions=8, output_dimension=4"),
        ({"dimension": 4}, "does not know: dimension. Did you mean 'dimensions'?"),
    ],
)
def test_what_is_refused(service: str, fields: dict[str, object], message: str) -> None:
    refused = httpx.post(f"{service}{URL}", json={"input": ["w1"], **fields})
    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]


def test_a_prompt_of_another_role_than_the_input_type_is_refused(service: str) -> None:
    body = {"model": "tiny", "input": ["w1"], "input_type": "document", "prompt_name": "query"}
    refused = httpx.post(f"{service}{URL}", json=body, timeout=240)
    assert refused.status_code == 400
    message = refused.json()["error"]["message"]
    assert "different prompts: prompt_name=query, input_type=document" in message
    assert rows(post(service, input_type="query", prompt_name="query")) == rows(
        post(service, input_type="query")
    )
