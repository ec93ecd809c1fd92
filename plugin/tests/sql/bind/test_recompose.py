"""Composed columns that are made anew, and of what."""

from __future__ import annotations

import pytest

from nestvec.ingest.row_schema import row_schema
from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.milvus.catalog.column_properties import TEMPLATE_PROPERTY_PREFIX
from nestvec.sql.bind.dml.recompose import composed_sources, recompose, stale_composed
from nestvec.sql.bind.params import bind_params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import SqlTypeMismatch


def table(flatten: str, *, dynamic: bool = False) -> Table:
    texts = {"short": "{title}", "long": "{short}: {year}", "all": flatten}
    return Table(
        "t",
        (
            Column("id", "INT64", primary=True),
            Column("title", "VARCHAR", nullable=True, type_params=TypeParams(max_length=9)),
            Column("year", "INT32", nullable=True),
            Column("long", "VARCHAR", type_params=TypeParams(max_length=9)),
            Column("short", "VARCHAR", type_params=TypeParams(max_length=9)),
            Column("all", "VARCHAR", nullable=True, type_params=TypeParams(max_length=99)),
        ),
        dynamic=dynamic,
        properties={f"{TEMPLATE_PROPERTY_PREFIX}{name}": text for name, text in texts.items()},
    )


@pytest.mark.parametrize(
    ("written_columns", "again"),
    [
        (["title"], ["short", "all", "long"]),
        (["year"], ["long", "all"]),
        (["title", "short"], ["long", "all"]),
        (["title", "short", "long", "all"], []),
        ([], []),
    ],
)
def test_what_is_made_of_a_written_column_and_not_written_itself(
    written_columns: list[str], again: list[str]
) -> None:
    made = stale_composed(table("flatten"), written_columns)
    assert sorted(made) == sorted(again)
    assert "short" not in made or "long" not in made or made.index("short") < made.index("long")


def test_what_is_read_for_it() -> None:
    assert composed_sources(table("flatten"), ["short", "long"]) == ["title", "short", "year"]
    assert composed_sources(table("flatten", dynamic=True), ["all"]) == ["id", "title", "year", "$meta"]


def test_a_text_that_is_nothing_is_null_where_it_may_be_and_that_fits() -> None:
    made, parsed = table("{title}"), parse("UPDATE t SET title = 'x'")
    scope = Scope(parsed.source, made, "t", bind_params(None))
    node = parsed.tree.expressions[0]
    row = {"id": 1, "title": "A", "year": 7}
    shape = row_schema(made)
    found = recompose(scope, shape, ["short", "long", "all"], row, node)
    assert found == {"short": "A", "long": "A: 7", "all": "A"}
    assert recompose(scope, shape, ["all"], {"id": 1}, node) == {"all": None}
    with pytest.raises(SqlTypeMismatch, match="more than its max_length"):
        recompose(scope, shape, ["short"], {"title": "a long title"}, node)
