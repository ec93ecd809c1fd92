from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from nestvec_schemas.vectors import cosines

LONG = " ".join(f"w{n}" for n in range(20))


def embed(service: str, query: str = "", **body: object) -> Any:
    asked = {"texts": ["w1"], "input_type": "search_document", **body}
    answer = httpx.post(f"{service}/v2/embed{query}", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["embeddings"]


def tei(service: str, **body: object) -> Any:
    return np.float32(httpx.post(f"{service}/embed", json=body).json())


def test_floats_are_those_of_the_other_faces(service: str) -> None:
    found = embed(service, texts=["w1", "w2 w3"], model="tiny", embedding_types=["float"])
    assert np.array_equal(np.float32(found["float"]), tei(service, inputs=["w1", "w2 w3"]))


def test_each_type_is_the_same_vector(service: str) -> None:
    found = embed(service, embedding_types=["float", "int8", "base64"], output_dimension=8)
    assert set(found) == {"float", "int8", "base64"}
    assert max(map(abs, found["int8"][0])) == 127
    assert all(isinstance(one, int) for one in found["int8"][0])
    unsigned = embed(service, embedding_types=["uint8"], output_dimension=8)["uint8"]
    assert np.array_equal(np.int64(unsigned) - 128, found["int8"])
    assert cosines(np.array(found["float"]), np.array(found["int8"]))[0] > 0.999
    decoded = np.frombuffer(base64.b64decode(found["base64"][0]), "<f4")
    assert np.array_equal(decoded, np.float32(found["float"][0]))


def test_bits_are_signs_the_first_number_most_significant(service: str) -> None:
    found = embed(service, texts=["w1", "w2"], embedding_types=["float", "ubinary", "binary"])
    signs = np.array(found["float"]) > 0
    assert np.array_equal(np.unpackbits(np.uint8(found["ubinary"]), axis=1), signs)
    assert np.array_equal(np.array(found["binary"]), np.array(found["ubinary"]) - 128)
    assert len(embed(service, embedding_types=["ubinary"], output_dimension=8)["ubinary"][0]) == 1


@pytest.mark.parametrize(
    ("input_type", "text"),
    [("search_query", "w1 w2"), ("search_document", "w2")],
)
def test_the_input_type_chooses_the_prompt(service: str, input_type: str, text: str) -> None:
    found = embed(service, texts=["w2"], input_type=input_type)
    assert np.array_equal(np.float32(found["float"]), tei(service, inputs=text))


@pytest.mark.parametrize(("truncate", "side"), [("END", "Right"), ("START", "Left"), (None, "Right")])
def test_the_side_that_is_cut(service: str, truncate: str | None, side: str) -> None:
    found = embed(service, texts=[LONG], truncate=truncate)
    expected = tei(service, inputs=LONG, truncate=True, truncation_direction=side)
    assert np.array_equal(np.float32(found["float"]), expected)


@pytest.mark.parametrize("query", ["?dim=4", "?dim=4&encoder=tiny"])
def test_the_query_string_holds_dim_and_encoder(service: str, query: str) -> None:
    assert len(embed(service, query, model="tiny")["float"][0]) == 4


REFUSED = [
    ({"texts": []}, 400, "there is no text"),
    (
        {"input_type": "clustering"},
        422,
        "tiny has no prompt for this task: clustering. Available: query, document.",
    ),
    ({"texts": None}, 400, "there is no text"),
    ({"texts": [""]}, 400, "a text is empty"),
    ({"texts": [LONG], "truncate": "NONE"}, 400, "truncation is off"),
    ({"truncate": "MIDDLE"}, 400, "body.truncate is invalid"),
    (
        {"embedding_types": ["int4"]},
        400,
        "type: int4. Available: float, int8, uint8, ubinary, binary",
    ),
    ({"embedding_type": ["int8"]}, 400, "does not know: embedding_type. Did you mean 'embedding_types'?"),
    ({"dimensions": 4}, 400, "does not know: dimensions. Did you mean 'output_dimension'?"),
    ({"embedding_types": ["ubinary"], "output_dimension": 4}, 400, "whole bytes: 4. Choose a multiple"),
    ({"model": "tiny@3"}, 400, "tiny has no exit after this layer: 3. Available: 2, 4."),
    ({"model": "tiny@2", "exit": 4}, 400, "different exits: exit=4, encoder=tiny@2"),
    ({"embedding_types": ["int 8"]}, 400, "Did you mean 'int8'?"),
    ({"input_type": "image"}, 404, "tiny takes no images. Send texts"),
    ({"images": ["data:"], "texts": []}, 404, "tiny takes no images. Send texts"),
    ({"images": ["data:"]}, 404, "a request has either texts, images or inputs"),
    ({"inputs": [{"content": []}]}, 404, "a request has either texts, images or inputs"),
    ({"input_type": "passage"}, 400, "body.input_type is invalid"),
    ({"model": "embed-v4.0"}, 404, "no encoder of this name: embed-v4.0. Available: tiny"),
    ({"output_dimension": 17}, 400, "this many dims: 17. Choose from 1 to 16"),
    ({"texts": ["w1"] * 2049}, 400, "at most 2048 texts: 2049"),
    ({"max_tokens": 7}, 400, "not cut to fewer tokens than tiny takes: max_tokens=7. Leave the field out"),
]


@pytest.mark.parametrize(("body", "status", "message"), REFUSED)
def test_what_embed_refuses(service: str, body: dict[str, object], status: int, message: str) -> None:
    asked = {"texts": ["w1"], "input_type": "search_document", **body}
    answer = httpx.post(f"{service}/v2/embed", json=asked)
    assert answer.status_code == status
    assert set(answer.json()) == {"id", "message"}
    assert message in answer.json()["message"]


def test_a_body_that_is_not_json(service: str) -> None:
    answer = httpx.post(
        f"{service}/v2/embed", content=b'{"texts":', headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("the body is not JSON")


@pytest.mark.parametrize(("model", "exit"), [("tiny", 4), ("tiny@2", 2)])
def test_as_go_milvus_writes_it(service: str, model: str, exit: int) -> None:
    """The request of Milvus's ``cohere`` provider for an INT8_VECTOR field (contracts: Milvus's wire)."""
    body = (
        b'{"model":"%s","texts":["w1","w2"],"input_type":"search_document",'
        b'"embedding_types":["int8"],"truncate":"END","output_dimension":8}' % model.encode()
    )
    headers = {"content-type": "application/json", "authorization": "bearer some-key"}
    answer = httpx.post(f"{service}/v2/embed", content=body, headers=headers)
    assert answer.status_code == 200
    rows = json.loads(answer.content)["embeddings"]["int8"]
    assert [len(row) for row in rows] == [8, 8]
    assert all(isinstance(x, int) and -128 <= x <= 127 for row in rows for x in row)
    assert cosines(np.array(rows), tei(service, inputs=["w1", "w2"], dimensions=8, exit=exit)).min() > 0.999


@pytest.mark.parametrize("fields", [{}, {"input_type": None}])
def test_without_an_input_type_the_default_prompt_applies(service: str, fields: dict[str, object]) -> None:
    """Milvus omits it for models whose names end in v2.0."""
    answer = httpx.post(f"{service}/v2/embed", json={"model": "tiny", "texts": ["w2"], **fields})
    assert answer.status_code == 200
    assert np.array_equal(np.float32(answer.json()["embeddings"]["float"]), tei(service, inputs="w2"))


def test_v1_gives_a_list_or_types(service: str) -> None:
    body = {"model": "tiny", "texts": ["w1", "w2 w3"], "input_type": "search_query", "truncate": "END"}
    floats = httpx.post(f"{service}/v1/embed", json=body).json()
    expected = tei(service, inputs=["w1", "w2 w3"], prompt_name="query")
    assert np.array_equal(np.float32(floats["embeddings"]), expected)
    assert (floats["response_type"], floats["texts"]) == ("embeddings_floats", ["w1", "w2 w3"])
    assert floats["meta"]["api_version"] == {"version": "1"}
    typed = httpx.post(f"{service}/v1/embed", json={**body, "embedding_types": ["int8", "float"]}).json()
    assert typed["response_type"] == "embeddings_by_type"
    assert set(typed["embeddings"]) == {"int8", "float"}
    assert np.array_equal(np.float32(typed["embeddings"]["float"]), expected)


def test_errors_of_v1_are_cohere_s(service: str) -> None:
    answer = httpx.post(f"{service}/v1/embed", json={"model": "embed-english-v2.0", "texts": ["w1"]})
    assert answer.status_code == 404
    assert "no encoder of this name: embed-english-v2.0" in answer.json()["message"]
