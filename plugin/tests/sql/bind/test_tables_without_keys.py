"""CREATE TABLE without a primary key, and the tables that Milvus does not have."""

from __future__ import annotations

import pytest
from sqlglot import exp

from nestvec.milvus.catalog import ROW_ID
from nestvec.sql.bind.ddl.table import TableDefinition, bind_definition
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import SqlError
from nestvec_schemas.spec.collection_spec import FieldSpec


def defined(statement: str) -> TableDefinition:
    parsed = parse(statement)
    assert isinstance(parsed.tree, exp.Create)
    definition = bind_definition(parsed.source, parsed.tree, bind_params(None), "http://127.0.0.1:8080")
    check_consumed(parsed.source, parsed.tree)
    return definition


@pytest.mark.parametrize("columns", ["v VECTOR(3)", "id BIGINT, v VECTOR(3)", "n INT"])
@pytest.mark.parametrize("kind", ["TABLE", "UNLOGGED TABLE"])
def test_a_table_without_a_key_has_a_hidden_one(kind: str, columns: str) -> None:
    definition = defined(f"CREATE {kind} t ({columns})")
    assert definition.spec.fields[ROW_ID.name] == FieldSpec(type="INT64", primary=True, auto_id=True)
    assert ROW_ID.name not in definition.columns


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TEMP TABLE t (n INT)", "a temporary table is not supported"),
        ("CREATE TABLE t ()", "a table without columns is not supported"),
        ("CREATE TABLE t (nestvec_row_id BIGINT)", "this name is nestvec's own"),
        ("CREATE TABLE t (n INT, n INT)", "column n is defined twice"),
    ],
)
def test_tables_that_are_refused(statement: str, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        defined(statement)
