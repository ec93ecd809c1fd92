"""Distances of a tree as columns."""

from __future__ import annotations

import pytest

from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.sql.parse.parse import parse
from nestvec.sql.relational.vectors import use_family_members
from nestvec_schemas.embedding_config import EmbeddingConfig

DIMS = (2, 4)
PAPERS = Table(
    "papers",
    (
        Column("body", "VARCHAR"),
        *(Column(f"body_{dim}", "FLOAT_VECTOR", type_params=TypeParams(dim=dim)) for dim in DIMS),
    ),
    embeddings=tuple(
        EmbeddingColumn(
            "body", f"body_{dim}", Endpoint("openai", "http://localhost", EmbeddingConfig("minilm", dim))
        )
        for dim in DIMS
    ),
)


@pytest.mark.parametrize(
    ("distance", "member"),
    [
        ("subvector(body_4, 1, 2) <=> '[1,2]'", True),
        ("'[1,2]' <=> subvector(body_4, 1, 2)::vector(2)", True),
        ("subvector(body_4, 1, 2) <-> '[1,2]'", False),
        ("subvector(body_4, 2, 2) <=> '[1,2]'", False),
        ("subvector(body_4, 1, 3) <=> '[1,2,3]'", False),
    ],
)
def test_a_shorter_column_stands_in_for_a_prefix_by_cosine_alone(distance: str, member: bool) -> None:
    tree = parse(f"SELECT {distance} FROM papers").tree.copy()
    use_family_members(tree, lambda column: PAPERS)
    assert ("body_2" in tree.sql()) is member
    assert ("SUBVECTOR" in tree.sql().upper()) is not member
