"""The options of CREATE INDEX, with pgvector's bounds."""

from __future__ import annotations

from typing import Any

import pytest
from sqlglot import exp

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.sql.bind.ddl.index import bind_index
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import SqlTypeMismatch

TABLE = Table("t", (Column("v", "FLOAT_VECTOR", TypeParams(dim=3)),))


def built(options: str, method: str = "hnsw") -> Any:
    parsed = parse(f"CREATE INDEX ON t USING {method} (v vector_l2_ops) WITH ({options})")
    assert isinstance(parsed.tree, exp.Create)
    return bind_index(parsed.source, parsed.tree, TABLE, bind_params(None)).index.params


@pytest.mark.parametrize(
    ("method", "options", "params"),
    [
        ("hnsw", "m = 2, ef_construction = 4", {"M": 2, "efConstruction": 4}),
        ("hnsw", "m = 100, ef_construction = 1000", {"M": 100, "efConstruction": 1000}),
        ("hnsw", "m = 32", {"M": 32}),
        ("hnsw", "m = '16'", {"M": 16}),
        ("ivfflat", "lists = 1", {"nlist": 1}),
        ("ivfflat", "lists = 32768", {"nlist": 32_768}),
    ],
)
def test_options_within_the_bounds(method: str, options: str, params: dict[str, int]) -> None:
    assert built(options, method) == params


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("hnsw", "m = 1", 'out of bounds for option "m": 1'),
        ("hnsw", "m = 101", 'out of bounds for option "m": 101'),
        ("hnsw", "ef_construction = 3", 'out of bounds for option "ef_construction": 3'),
        ("hnsw", "efconstruction = 1001", "out of bounds .*: 1001. Write one between 4 and 1000"),
        ("hnsw", "ef_construction = 31", r"equal to 2 \* m: 31. Write ef_construction = 32"),
        ("hnsw", "m = 33", r"equal to 2 \* m: 64"),
        ("hnsw", "m = true", 'invalid value for integer option "m"'),
        ("ivfflat", "lists = 0", 'out of bounds for option "lists": 0'),
        ("ivfflat", "lists = 32769", 'out of bounds for option "lists": 32769'),
        ("ivfflat", "lists = 'x'", 'invalid value for integer option "lists": x'),
    ],
)
def test_options_beyond_the_bounds(method: str, options: str, message: str) -> None:
    with pytest.raises(SqlTypeMismatch, match=message):
        built(options, method)
