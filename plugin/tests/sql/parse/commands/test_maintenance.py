"""VACUUM and REINDEX as trees."""

from __future__ import annotations

import pytest

from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import SqlSyntaxError


@pytest.mark.parametrize(
    ("statement", "names", "analyzes"),
    [
        ("VACUUM", [], False),
        ("vacuum public.items;", ["items"], False),
        ('VACUUM FULL VERBOSE ANALYZE "Items" (a, b), notes', ["Items", "notes"], True),
        ("VACUUM (ANALYZE, PARALLEL 2, INDEX_CLEANUP auto) items", ["items"], True),
        ("VACUUM (ANALYZE off, FREEZE) items", ["items"], False),
    ],
)
def test_vacuum_names_tables(statement: str, names: list[str], analyzes: bool) -> None:
    tree = parse(statement).tree
    assert [name.name for name in tree.args["names"]] == names
    assert tree.args["analyzes"] is analyzes


@pytest.mark.parametrize(
    ("statement", "kind", "names"),
    [
        ("REINDEX INDEX CONCURRENTLY items_v_idx", "INDEX", ["items_v_idx"]),
        ("REINDEX (VERBOSE, CONCURRENTLY) TABLE items", "TABLE", ["items"]),
        ("REINDEX DATABASE", "DATABASE", []),
        ("REINDEX SCHEMA public", "SCHEMA", ["public"]),
    ],
)
def test_reindex_names_a_table_or_an_index(statement: str, kind: str, names: list[str]) -> None:
    tree = parse(statement).tree
    assert tree.args["kind"] == kind
    assert [name.name for name in tree.args["names"]] == names


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("VACUUM items notes", "'notes' is not valid here"),
        ("VACUUM (SPEED) items", "'SPEED' is not valid here"),
        ("VACUUM (ANALYZE", "ends unexpectedly"),
        ("VACUUM items (a", "ends unexpectedly"),
        ("VACUUM 'items'", "'items' is not valid here"),
        ("REINDEX items", "'items' is not valid here"),
        ("REINDEX INDEX", "ends unexpectedly"),
        ("REINDEX INDEX a, b", "',' is not valid here"),
    ],
)
def test_what_is_malformed_is_a_syntax_error(statement: str, message: str) -> None:
    with pytest.raises(SqlSyntaxError, match=message):
        parse(statement)
