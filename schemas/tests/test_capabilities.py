from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import pytest

from nestvec_schemas.capabilities import CHECKS, check_config
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import (
    DimNotOffered,
    ExitNotOffered,
    ExpertNotOffered,
    NestvecError,
    PromptNotOffered,
    SpecError,
)
from nestvec_schemas.towers import OutputKind


@dataclass(frozen=True)
class Encoder:
    kind: OutputKind = "dense"
    dims: tuple[int, ...] = (384, 128, 64)
    layers: tuple[int, ...] = (6, 3)
    experts: tuple[str, ...] = ("biomed", "legal")
    prompts: Mapping[str, str] = field(
        default_factory=lambda: {"query": "q: ", "Clustering": "c: ", "sts": ""}
    )


DENSE, SPARSE = Encoder(), Encoder("sparse", (30_522,), (2,), ())


@pytest.mark.parametrize(
    ("config", "encoder"),
    [
        (EmbeddingConfig("minilm"), DENSE),
        (EmbeddingConfig("minilm", 64, 3, "legal", "int8"), DENSE),
        (EmbeddingConfig("minilm", 128, 6, form="binary"), DENSE),
        (EmbeddingConfig("splade", form="sparse"), SPARSE),
        (EmbeddingConfig("splade", 30_522, form="sparse", top=64), SPARSE),
    ],
)
def test_what_an_encoder_offers(config: EmbeddingConfig, encoder: Encoder) -> None:
    check_config(config, encoder)


@pytest.mark.parametrize(
    ("config", "encoder", "error", "message"),
    [
        (
            EmbeddingConfig("splade", 64),
            SPARSE,
            SpecError,
            r"splade is a sparse encoder, which has no vectors of the form float.*form: sparse without dims",
        ),
        (
            EmbeddingConfig("minilm", form="sparse"),
            DENSE,
            SpecError,
            r"a dense encoder.*Name a sparse encoder",
        ),
        (EmbeddingConfig("bge", 1), Encoder("reranker", (1,)), SpecError, r"a reranker encoder.*RERANK BY"),
        (EmbeddingConfig("minilm", 65), DENSE, DimNotOffered, r"dims: 65\. Available: 384, 128, 64\."),
        (EmbeddingConfig("minilm", True), DENSE, DimNotOffered, r"dims: True"),
        (EmbeddingConfig("minilm", 64, 4), DENSE, ExitNotOffered, r"layer: 4\. Available: 3, 6\. Export"),
        (EmbeddingConfig("minilm", 64, True), DENSE, ExitNotOffered, r"layer: True"),
        (
            EmbeddingConfig("minilm", 64, expert="legall"),
            DENSE,
            ExpertNotOffered,
            r"this name: legall\. Available: biomed, legal\. Did you mean 'legal'\? Export",
        ),
        (EmbeddingConfig("a", 8, expert="b"), Encoder(experts=()), ExpertNotOffered, r"Available: none\."),
        (
            EmbeddingConfig("a", 64, prompt="clustering"),
            DENSE,
            PromptNotOffered,
            r"no prompt of this name: clustering\. Available: query, document, Clustering, sts\. "
            r"Did you mean 'Clustering'",
        ),
        (
            EmbeddingConfig("a", 64, query_prompt="s2p"),
            DENSE,
            PromptNotOffered,
            r"no prompt of this name: s2p",
        ),
        (
            EmbeddingConfig("minilm", 64, top=8),
            DENSE,
            SpecError,
            r"largest weights of a sparse vector.*top 8\. Omit top",
        ),
        (EmbeddingConfig("splade", form="sparse", top=0), SPARSE, SpecError, r"not a number of weights: 0"),
    ],
)
def test_what_it_does_not_offer(
    config: EmbeddingConfig, encoder: Encoder, error: type[NestvecError], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_config(config, encoder)


def test_every_attribute_of_a_config_but_its_encoder_has_a_check() -> None:
    compared_by_the_service = {"encoder", "prompts", "fingerprint"}
    assert set(CHECKS) == {field.name for field in fields(EmbeddingConfig)} - compared_by_the_service
