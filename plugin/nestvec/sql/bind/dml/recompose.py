"""Composed columns of stored rows: computed again if a column that they are composed of changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlglot import exp

from nestvec.ingest.compose_row import compose_columns
from nestvec.ingest.row_schema import RowSchema
from nestvec.milvus.catalog import DYNAMIC_COLUMN, Table
from nestvec.sql.bind.dml.literals import fit_value
from nestvec.sql.bind.scope import Scope


def stale_composed(table: Table, written_columns: Iterable[str]) -> list[str]:
    """The composed columns to compute again if these columns are written, in order of dependency."""
    changed, again = set(written_columns), list[str]()
    for name in table.composed:
        if name not in changed and changed & set(_source_columns(table, name)):
            again.append(name)
            changed.add(name)
    return again


def composed_sources(table: Table, names: Iterable[str]) -> list[str]:
    """The columns of a row that its composed columns ``names`` are computed from."""
    return list(dict.fromkeys(of for name in names for of in _source_columns(table, name)))


def _source_columns(table: Table, composed: str) -> list[str]:
    """The columns and named dynamic fields that a column is composed of."""
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
    """The composed columns ``names`` of an updated row. Errors point at ``node``.

    Raises SqlTypeMismatch if one is too long, or is empty and cannot be NULL.
    """
    values: dict[str, object] = {}
    for name, text in compose_columns(scope.table, names, row).items():
        column = shape.columns[name]
        value = text if text or not column.nullable else None
        values[name] = fit_value(scope, shape, value, column, node)
    return values
