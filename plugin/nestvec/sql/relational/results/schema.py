"""The types of the columns that a statement reads."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import DialectType
from sqlglot.schema import MappingSchema

from nestvec.milvus.catalog import ROW_ID
from nestvec.sql.parse.dialect import CaseSensitiveSql, PostgresTypes
from nestvec.sql.parse.source import first_select
from nestvec.sql.parse.vectors.kinds import parse_vector_type
from nestvec.sql.relational.names import has_natural_joins
from nestvec.sql.relational.planning import Planning
from nestvec.sql.relational.rewrites.nodes import is_text_constant


def relation_schema(
    planning: Planning, *, exact: bool = False, names_of: exp.Expr | None = None
) -> MappingSchema:
    """The columns of every relation; with ``exact``, for the types that PostgreSQL gives results.

    ``names_of``: a tree whose names are resolved; the hidden keys of collections are no keys of its NATURAL
    joins.
    """
    mapping: dict[str, Any] = {
        name: {column: _column_type(kind).copy() for column, kind in columns.items()}
        for name, columns in planning.schemas.items()
    }
    for name, table in planning.tables.items():
        for column in table.columns:
            # Those without a size, or with more digits than DuckDB has, are as long as what is read.
            is_numeric = column.type_params.sql_type.startswith("numeric")
            if is_numeric and planning.schemas.get(name, {}).get(column.name) == "double":
                mapping[name][column.name] = exp.DataType(this=exp.DType.DECIMAL)
    dialect = PostgresTypes if exact else CaseSensitiveSql
    natural = names_of is not None and has_natural_joins(names_of)
    return _Schema(mapping, dialect, frozenset(planning.tables), natural=natural)


class _Schema(MappingSchema):
    """The columns of relations; the hidden keys of collections are read by name alone."""

    def __init__(
        self,
        mapping: dict[str, Any],
        dialect: type[CaseSensitiveSql],
        collections: frozenset[str],
        *,
        natural: bool,
    ) -> None:
        super().__init__(mapping, dialect=dialect, normalize=False)
        self._collections, self._natural = collections, natural

    def column_names(
        self,
        table: exp.Table | str,
        only_visible: bool = False,
        dialect: DialectType = None,
        normalize: bool | None = None,
    ) -> list[str]:
        """As sqlglot's, which asks for the visible ones for ``*``."""
        names = super().column_names(table, only_visible, dialect, normalize)
        if not (only_visible or self._natural) or exp.to_table(table).name not in self._collections:
            return list(names)
        return [name for name in names if name != ROW_ID.name]


@lru_cache(maxsize=1_024)
def _column_type(kind: str) -> exp.DataType:
    """A type of DuckDB as a tree, which takes sqlglot as long as a statement."""
    if kind == "json":
        return exp.DataType(this=exp.DType.JSONB)
    vector = parse_vector_type(kind)
    if vector is not None:
        return vector
    return exp.DataType.build(kind, dialect="duckdb", udt=True)


def type_values(tree: exp.Expr) -> None:
    """Give constants in quotes in VALUES the type to which others of their column are cast."""
    for node in tree.find_all(exp.Values):
        rows = [row.expressions for row in node.expressions if isinstance(row, exp.Tuple)]
        for column in zip(*rows, strict=False):
            types = [item.args["to"] for item in column if isinstance(item, exp.Cast)]
            for item in filter(is_text_constant, column) if types else ():
                item.replace(exp.Cast(this=item.copy(), to=types[0].copy()))


def widen_recursion(tree: exp.Expr) -> exp.Expr:
    """Make numbers with a fraction, with which a recursion begins, as wide as a NUMERIC. Returns the tree.

    DuckDB rounds each step to the digits of the first: 1.0 * 1.5 * 1.5 was 2.3.
    """
    for clause in tree.find_all(exp.With):
        queries = [cte.this for cte in clause.expressions] if clause.args.get("recursive") else []
        firsts = [first_select(query) for query in queries if isinstance(query, exp.Union)]
        for first in firsts:
            for item in first.expressions if first is not None else ():
                value = item.unalias()
                if value.type is not None and value.type.this == exp.DType.DECIMAL:
                    _widen(value)
    return tree


def _widen(value: exp.Expr) -> None:
    if value.type is not None and not value.type.expressions:
        number = exp.cast(value.copy(), "decimal(38, 20)")
        number.type = exp.DataType(this=exp.DType.DECIMAL)
        value.replace(number)
