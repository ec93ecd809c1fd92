from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from nestvec.service.api import check, cohere, embed_all, huggingface, openai, rerank, sparse, tei, vllm
from nestvec.service.api.request_model import ApiRequest
from nestvec_schemas.errors import BodyInvalid

BODIES = (
    check.CheckRequest,
    cohere.CohereEmbedRequest,
    embed_all.EmbedAllRequest,
    huggingface.FeatureExtractionRequest,
    huggingface.SimilarityRequest,
    openai.EmbeddingsRequest,
    rerank.RerankRequest,
    sparse.SparseRequest,
    tei.EmbedRequest,
    tei.TokenizeRequest,
    vllm.PoolingRequest,
    vllm.ScoreRequest,
)


def number_fields() -> Iterator[tuple[type[ApiRequest], str]]:
    for body in BODIES:
        properties = body.model_json_schema()["properties"]
        for name, field in properties.items():
            if "integer" in [field.get("type"), *(kind.get("type") for kind in field.get("anyOf", []))]:
                yield body, name


@pytest.mark.parametrize(("body", "name"), number_fields())
@pytest.mark.parametrize(
    ("value", "shown"), [(True, "true"), (False, "false"), ("64", '"64"'), ("", '""'), ("1.0", '"1.0"')]
)
def test_a_number_is_neither_true_nor_a_string(
    body: type[ApiRequest], name: str, value: object, shown: str
) -> None:
    if value == "64" and name in body.numbers_as_strings:
        pytest.skip("Milvus Lite sends it so")
    with pytest.raises(BodyInvalid, match=f"the field {name} is a number: {shown}"):
        body.model_validate({name: value})


def test_dimensions_that_lite_reads_from_a_file_are_a_string() -> None:
    request = openai.EmbeddingsRequest.model_validate({"input": "a", "dimensions": "64"})
    assert request.dimensions == 64


def test_several_kinds_have_numbers() -> None:
    assert {"dimensions", "output_dimension", "exit", "truncate_prompt_tokens", "top_n"} <= {
        name for _, name in number_fields()
    }


def boolean_fields() -> Iterator[tuple[type[ApiRequest], str]]:
    for body in BODIES:
        for name, field in body.model_json_schema()["properties"].items():
            kinds = [field, *field.get("anyOf", [])]
            if any(kind.get("type") == "boolean" and "const" not in kind for kind in kinds):
                yield body, name


@pytest.mark.parametrize(("body", "name"), boolean_fields())
@pytest.mark.parametrize("value", ["no", "false", "true", "1", 0, 1, 1.0])
def test_a_boolean_is_true_or_false(body: type[ApiRequest], name: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        body.model_validate({name: value})
    messages = [detail["msg"] for detail in error.value.errors() if detail["loc"][0] == name]
    assert messages[0] == "Input should be a valid boolean"


def test_several_kinds_have_booleans() -> None:
    assert {"truncate", "normalize", "raw_scores", "return_documents", "add_special_tokens"} <= {
        name for _, name in boolean_fields()
    }


@pytest.mark.parametrize("body", BODIES)
def test_a_misspelt_field_is_refused(body: type[ApiRequest]) -> None:
    name = next(iter(body.model_json_schema()["properties"]))
    with pytest.raises(BodyInvalid, match=f"Did you mean '{name}'"):
        body.model_validate({f"{name}_": "w1"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("prompt", "prompt_name"),
        ("truncate_dim", "dimensions"),
        ("normalize_embeddings", "normalize"),
        ("Exit", "exit"),
        ("truncationDirection", "truncation_direction"),
    ],
)
def test_a_name_that_means_a_field_elsewhere_is_refused(name: str, meant: str) -> None:
    with pytest.raises(BodyInvalid, match=f"does not know: {name}. Did you mean '{meant}'"):
        tei.EmbedRequest.model_validate({"inputs": "w1", name: 1})


FOREIGN: dict[str, object] = {
    "pooling": "mean",
    "pooling_type": "CLS",
    "instruction": "Find passages",
    "prompts": {"query": "q: "},
    "max_length": 3,
    "max_input_tokens": 3,
    "auto_truncate": True,
    "late_chunking": True,
    "task_type": "RETRIEVAL_QUERY",
    "is_query": True,
    "dimensionality": 4,
    "embedding_size": 4,
    "embedding_dtype": "int8",
    "precision": "int8",
    "return_sparse": True,
    "chat_template": "x",
    "fingerprint": "x",
    "on_error": "zero",
}
"""Fields that change the vectors of other servers, and of which no path has one in its body."""

EMBEDDING = (cohere.CohereEmbedRequest, openai.EmbeddingsRequest, tei.EmbedRequest, vllm.PoolingRequest)
SCORING = (huggingface.SimilarityRequest, rerank.RerankRequest, vllm.ScoreRequest)


@pytest.mark.parametrize("body", [*EMBEDDING, huggingface.FeatureExtractionRequest])
@pytest.mark.parametrize("name", FOREIGN)
def test_what_changes_the_vectors_of_other_servers_is_refused(body: type[ApiRequest], name: str) -> None:
    with pytest.raises(BodyInvalid, match=f": {name}. [A-Z]"):
        body.model_validate({name: FOREIGN[name]})


@pytest.mark.parametrize("body", SCORING)
@pytest.mark.parametrize("name", ["instruction", "max_length", "late_chunking", "parameters", "overlong"])
def test_what_changes_the_scores_of_other_servers_is_refused(body: type[ApiRequest], name: str) -> None:
    value = {"inputs": "w1"} if name == "parameters" else FOREIGN.get(name, "mean")
    with pytest.raises(BodyInvalid):
        body.model_validate({name: value})


@pytest.mark.parametrize("body", [*EMBEDDING, *SCORING])
def test_what_changes_nothing_is_ignored(body: type[ApiRequest]) -> None:
    harmless = {
        **dict.fromkeys(FOREIGN),
        **{"user": "a", "priority": 1, "request_id": "b", "metadata": {}, "options": {"use_cache": True}},
        **{"late_chunking": False, "return_sparse": False, "chat_template_kwargs": {}},
        **{"precision": "float32", "batch_size": 8},
    }
    ApiRequest.model_validate(harmless)
    for name, value in harmless.items():
        try:
            body.model_validate({name: value})
        except ValidationError as error:  # of the fields that are required
            assert name not in [place for detail in error.errors() for place in detail["loc"]]
