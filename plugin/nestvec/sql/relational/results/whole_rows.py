"""Rows as JSON: ``to_jsonb(t)``, ``jsonb_agg(t)`` and their like, of a collection or of a query in FROM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import DYNAMIC_COLUMN
from nestvec.sql.relational.names import from_entries, function_label
from nestvec.sql.relational.planning import Planning
from nestvec.sql.relational.scans import always_has_row, cte_query

_OF_ROWS: Final = {"TO_JSON": "json", "ROW_TO_JSON": "json", "TO_JSONB": "jsonb"}
"""Functions whose value is the row itself."""

_WITH_ROWS: Final = {
    **_OF_ROWS,
    **dict.fromkeys(("JSON_AGG", "JSON_BUILD_ARRAY", "JSON_BUILD_OBJECT"), "json"),
    **dict.fromkeys(("JSONB_AGG", "JSONB_BUILD_ARRAY", "JSONB_BUILD_OBJECT"), "jsonb"),
}
_AGGREGATES: Final[dict[type, str]] = {
    exp.JSONArrayAgg: "json",
    exp.JSONObjectAgg: "json",
    exp.JSONBObjectAgg: "jsonb",
}


def write_rows(planning: Planning, tree: exp.Expr) -> None:
    """Name the columns of rows that become JSON, so that their values are those of the columns.

    The tree is qualified; it is changed. Raises SqlNotSupported for a row that an outer join may not have.
    """
    for node in list(tree.find_all(exp.TableColumn)):
        parent = node.parent
        while isinstance(parent, (exp.Paren, exp.Order, exp.Distinct)):
            parent = parent.parent
        label = "" if parent is None else function_label(parent)
        kind = _AGGREGATES.get(type(parent)) or _WITH_ROWS.get(label)
        select = node.find_ancestor(exp.Select)
        entry = None
        while select is not None and entry is None:
            entry = next((entry for entry in from_entries(select) if entry.alias_or_name == node.name), None)
            select = select if entry is not None else select.find_ancestor(exp.Select)
        columns = _columns(planning, entry) if entry is not None else ()
        if kind is None or parent is None or entry is None or select is None or not columns:
            continue
        row: exp.Expr = _object(kind, node.name, columns)
        if not always_has_row(select, entry):
            table = planning.tables.get(entry.name) if isinstance(entry, exp.Table) else None
            if table is None:
                raise planning.source.not_supported(
                    "a row of an outer join as one value", node, "Name its columns in jsonb_build_object(…)."
                )
            exists = exp.Is(this=_column(table.primary.name, node.name), expression=exp.Null())
            row = exp.Case(ifs=[exp.If(this=exp.Not(this=exists), true=row)])
        (parent if label in _OF_ROWS else node).replace(row)


def _columns(planning: Planning, entry: exp.Expr) -> Sequence[str]:
    """The columns of an entry of FROM; none where they are not known."""
    query = entry.this if isinstance(entry, exp.Subquery) else cte_query(entry, entry)
    if isinstance(query, exp.Query):
        renamed = query.parent.alias_column_names if isinstance(query.parent, exp.CTE) else []
        return entry.alias_column_names or renamed or query.named_selects
    if isinstance(entry, exp.Table) and entry.name in planning.schemas:
        return [name for name in planning.columns(entry.name) if name != DYNAMIC_COLUMN.name]
    return ()


def _object(kind: str, table: str, columns: Sequence[str]) -> exp.Expr:
    pairs = [(exp.Literal.string(name), _column(name, table)) for name in columns]
    name = "json_row_object" if kind == "json" else "jsonb_build_object"
    return exp.Anonymous(this=name, expressions=[item for pair in pairs for item in pair])


def _column(name: str, table: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(table, quoted=True))
