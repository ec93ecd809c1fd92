"""Composed columns of rows that are there already: made anew where a column that they are made of changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlglot import exp

from nestvec.ingest.compose_row import composed
from nestvec.ingest.row_schema import RowSchema
from nestvec.milvus.catalog import DYNAMIC_COLUMN, Table
from nestvec.sql.bind.dml.literals import fit_value
from nestvec.sql.bind.scope import Scope


def stale_composed(table: Table, written_columns: Iterable[str]) -> list[str]:
    """The composed columns that are made anew where these columns are written: not those that are among
    them, and each after those that it needs."""
    changed, again = set(written_columns), list[str]()
    for name in table.composed:
        if name not in changed and changed & set(_source_columns(table, name)):
            again.append(name)
            changed.add(name)
    return again


def composed_sources(table: Table, names: Iterable[str]) -> list[str]:
    """What has to be read of a row for its composed columns ``names`` to be made anew."""
    return list(dict.fromkeys(of for name in names for of in _source_columns(table, name)))


def _source_columns(table: Table, composed: str) -> list[str]:
    """The columns, and the dynamic fields that are named, of which a column is composed."""
    template = table.composed[composed]
    if not template.flattens:
        return list(template.fields)
    scalars = [
        column.name for column in table.columns if not column.is_vector and column.name not in table.composed
    ]
    return [*scalars, DYNAMIC_COLUMN.name] if table.dynamic else scalars


def recompose(
    scope: Scope, shape: RowSchema, names: Sequence[str], row: Mapping[str, Any], node: exp.Expr
) -> dict[str, object]:
    """The composed columns ``names`` of a row as it will be. ``node`` is what an error points at.

    Raises SqlTypeMismatch where one does not fit, or must have a text and has none.
    """
    values: dict[str, object] = {}
    for name, text in composed(scope.table, names, row).items():
        column = shape.columns[name]
        value = text if text or not column.nullable else None
        values[name] = fit_value(scope, shape, value, column, node)
    return values
