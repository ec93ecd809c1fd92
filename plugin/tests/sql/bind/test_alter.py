"""ADD COLUMN and DROP COLUMN as they are bound, in PostgreSQL's order, and what of them is refused."""

from __future__ import annotations

import pytest

from nestvec.milvus.catalog import Column, LexicalColumn, Table, TypeParams
from nestvec.sql.bind.ddl.alter import ColumnActions, bind_column_actions, column_spec
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import SqlError, SqlTypeMismatch
from nestvec_schemas.spec.collection_spec import FieldSpec, VectorSpec

TABLE = Table(
    "items",
    columns=(
        Column("id", "INT64", primary=True),
        Column("text", "VARCHAR", TypeParams(100)),
        Column("title", "VARCHAR", TypeParams(100)),
        Column("year", "INT32", nullable=True),
        Column("words", "SPARSE_FLOAT_VECTOR"),
    ),
    lexical=(LexicalColumn("text", "words"),),
    generated={"words": "text"},
    properties={"nestvec.compose.text": "{title}: {year}"},
)


def bound(actions: str) -> ColumnActions:
    parsed = parse(f"ALTER TABLE items {actions}")
    return bind_column_actions(parsed.source, TABLE, parsed.tree.args["actions"], bind_params(None))


def spec(column: str) -> FieldSpec | VectorSpec:
    parsed = parse(f"ALTER TABLE items ADD COLUMN {column}")
    actions = bind_column_actions(parsed.source, TABLE, parsed.tree.args["actions"], bind_params(None))
    return column_spec(parsed.source, actions.added[0])


def test_columns_are_dropped_before_others_are_added() -> None:
    actions = bound("ADD COLUMN b text, ADD year date, DROP COLUMN year, DROP text, DROP words")
    assert [column.name for column in actions.dropped] == ["year", "text", "words"]
    assert [draft.name for draft in actions.added] == ["b", "year"]
    assert [column.name for column in actions.remaining.columns] == ["id", "title"]


def test_what_exists_or_does_not_is_passed_over() -> None:
    actions = bound(
        "ADD COLUMN IF NOT EXISTS year int, ADD a int, ADD IF NOT EXISTS a text, DROP IF EXISTS z"
    )
    assert actions.dropped == ()
    assert [(draft.name, draft.type.name) for draft in actions.added] == [("a", "INT32")]


@pytest.mark.parametrize(
    ("actions", "cause", "position"),
    [
        ("ADD COLUMN ‸year int", "already has a column of this name: year", True),
        ("ADD COLUMN a int, ADD ‸a int", "already has a column of this name: a", True),
        ("DROP COLUMN year, DROP COLUMN ‸year", "no such column: year", True),
        ("ADD COLUMN a int, DROP COLUMN ‸a", "no such column: a", True),
        ("DROP COLUMN ‸id", "it is a key: id", True),
        ("DROP COLUMN text", "words is generated from it: text", False),
        ("DROP COLUMN year", "text is generated from it: year", False),
        ("ADD COLUMN ‸a bigserial", "adding a primary key", True),
        ("ADD COLUMN ‸a int PRIMARY KEY", "adding a primary key", True),
        ("ADD COLUMN ‸nestvec_null_words bool", "nestvec's own", True),
    ],
)
def test_what_cannot_be_done_is_marked(actions: str, cause: str, position: bool) -> None:
    with pytest.raises(SqlError, match=cause) as error:
        bound(actions.replace("‸", ""))
    if position:
        assert error.value.position == f"ALTER TABLE items {actions}".index("‸")


def test_a_column_has_the_spec_of_create_table() -> None:
    price = spec("price numeric(10,2) NOT NULL DEFAULT 1.5")
    assert isinstance(price, FieldSpec)
    assert (price.type, price.sql_type, price.nullable) == ("INT64", "numeric(10,2)", False)
    tags = spec("tags text[]")
    assert isinstance(tags, FieldSpec)
    assert (tags.type, tags.element_type, tags.nullable) == ("ARRAY", "VARCHAR", True)
    half = spec("h halfvec(4)")
    assert isinstance(half, VectorSpec)
    assert (half.type, half.dim, half.nullable, half.index) == ("FLOAT16_VECTOR", 4, True, "FLAT")
    assert isinstance(vector := spec("v vector(4) NOT NULL"), VectorSpec)
    assert not vector.nullable


def test_a_name_that_milvus_does_not_take_is_refused() -> None:
    with pytest.raises(SqlTypeMismatch):
        spec('"a b" int')
