"""One text embedded by several experts: a family of columns each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.providers import Endpoint
from nestvec.sql.bind.vectors.family import families
from nestvec.sql.plan.nodes import Plan
from nestvec.sql.statements.show import generated_expression
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlNotSupported


@pytest.fixture
def two(table: Table) -> Table:
    """``table`` with two of its columns filled by two experts of one encoder."""
    config = EmbeddingConfig("minilm", 64)
    return replace(
        table,
        embeddings=tuple(
            EmbeddingColumn(
                "name", column, Endpoint("openai", "http://127.0.0.1:8080", replace(config, expert=expert))
            )
            for column, expert in (("doc_64", "biomed"), ("doc_ip", "legal"))
        ),
        metrics={"doc_64": "COSINE", "doc_ip": "COSINE"},
    )


def test_experts_are_families_of_their_own(two: Table) -> None:
    assert [[one.column for one in family.members] for family in families(two)] == [["doc_64"], ["doc_ip"]]


def test_a_text_does_not_say_which_expert(two: Table, planned: Callable[..., Plan]) -> None:
    with pytest.raises(SqlNotSupported, match=r"which several encoders embed.*Name one of doc_64, doc_ip"):
        planned("SELECT id FROM pydoc ORDER BY name <=> 'x' LIMIT 1", over=two)
    planned("SELECT id FROM pydoc ORDER BY doc_64 <=> EMBED('x', 'minilm@biomed') LIMIT 1", over=two)


def test_the_expert_is_shown(two: Table) -> None:
    assert generated_expression(two, "doc_ip") == "EMBED(name, 'minilm', expert => 'legal')"


def test_prompts_are_shown_and_make_families_of_their_own(two: Table) -> None:
    config = EmbeddingConfig("minilm", 64, prompt="it's", query_prompt="query")
    (first, _) = two.embeddings
    prompted = replace(first, column="doc_sts", endpoint=replace(first.endpoint, config=config))
    table = replace(two, embeddings=(*two.embeddings, prompted))
    assert [family.longest.column for family in families(table)] == ["doc_64", "doc_ip", "doc_sts"]
    shown = generated_expression(table, "doc_sts")
    assert shown == "EMBED(name, 'minilm', prompt => 'it''s', query_prompt => 'query')"
