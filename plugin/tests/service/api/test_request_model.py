from __future__ import annotations

from collections.abc import Iterator

import pytest

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
@pytest.mark.parametrize("value", [True, False])
def test_a_number_is_never_true(body: type[ApiRequest], name: str, value: bool) -> None:
    with pytest.raises(BodyInvalid, match=f"the field {name} is a number: {str(value).lower()}"):
        body.model_validate({name: value})


def test_several_kinds_have_numbers() -> None:
    assert {"dimensions", "output_dimension", "exit", "truncate_prompt_tokens", "top_n"} <= {
        name for _, name in number_fields()
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
