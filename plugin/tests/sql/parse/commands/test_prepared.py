"""PREPARE, EXECUTE and DEALLOCATE as commands."""

from __future__ import annotations

import pytest

from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import SqlSyntaxError


@pytest.mark.parametrize(
    ("statement", "name", "items", "body"),
    [
        ("PREPARE a AS SELECT $1", "a", [], "SELECT $1"),
        ('prepare "A" (int, numeric(8, 2)) as VALUES ($1);', "A", ["int", "numeric(8, 2)"], "VALUES ($1)"),
        ("EXECUTE a", "a", [], ""),
        ("EXECUTE a(1, 'x, (y)', ARRAY[1, 2]);", "a", ["1", "'x, (y)'", "ARRAY[1, 2]"], ""),
        ("DEALLOCATE PREPARE a", "a", [], ""),
        ("DEALLOCATE ALL", "ALL", [], ""),
    ],
)
def test_its_parts(statement: str, name: str, items: list[str], body: str) -> None:
    tree = parse(statement).tree
    assert (tree.expression.name, tree.args["items"], tree.args["body"]) == (name, items, body)


@pytest.mark.parametrize(
    "statement",
    ["PREPARE", "PREPARE a", "PREPARE a AS", "PREPARE a (int SELECT 1", "PREPARE a SELECT 1", "EXECUTE",
     "EXECUTE a(1", "EXECUTE a(1,)", "EXECUTE a 1", "EXECUTE a(1) b", "DEALLOCATE", "DEALLOCATE a b",
     "DEALLOCATE a(1)"],
)  # fmt: skip
def test_a_malformed_one_is_refused(statement: str) -> None:
    with pytest.raises(SqlSyntaxError):
        parse(statement)
