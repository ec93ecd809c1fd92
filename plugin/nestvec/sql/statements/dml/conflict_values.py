"""ON CONFLICT DO UPDATE with values that a query computes from the stored row and the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlglot import exp

from nestvec.ingest.row_schema import row_schema
from nestvec.milvus.steps import Steps
from nestvec.sql.bind.dml.conflict import OnConflict
from nestvec.sql.bind.dml.literals import fit_value
from nestvec.sql.bind.scope import Scope
from nestvec.sql.execute.write import Row
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.assigned import assigned, strong, target_column
from nestvec.sql.statements.select import select_rows
from nestvec.sqltypes import from_stored, to_stored

_EXCLUDED: Final = "excluded"
_NEW_ROWS: Final = "(excluded)"
"""The table of the new rows, which no statement can name."""
_KEYS: Final = "(keys)"
"""A parameter that no statement can name."""
_BATCH: Final = 1_000
"""Rows whose values are computed at once."""


def computed_values(
    session: Session,
    scope: Scope,
    statement: exp.Expr | None,
    conflict: OnConflict | None,
    rows: Sequence[Row],
) -> Steps[dict[Any, Row] | None]:
    """What SET computes for the stored rows that conflict with ``rows``, by their stored keys.

    Rows that the WHERE of DO UPDATE leaves out are missing; None if nothing is computed. Raises SqlError,
    StoreError.
    """
    if conflict is None or not conflict.needs_query:
        return None
    target = _target(scope, statement)
    values: dict[Any, Row] = {}
    for start in range(0, len(rows), _BATCH):
        values |= yield from _batch(session, scope, target, conflict, rows[start : start + _BATCH])
    return values


def _target(scope: Scope, statement: exp.Expr | None) -> exp.Table:
    """The table as the INSERT names it, with its alias."""
    node = statement.this if isinstance(statement, exp.Insert) else None
    node = node.this if isinstance(node, exp.Schema) else node
    return node if isinstance(node, exp.Table) else exp.to_table(scope.table.name)


def _batch(
    session: Session, scope: Scope, target: exp.Table, conflict: OnConflict, rows: Sequence[Row]
) -> Steps[dict[Any, Row]]:
    table, shape = scope.table, row_schema(scope.table)
    reading, key = _reading(session, scope, rows), table.primary
    excluded = _excluded(scope)
    outputs = {"__key": target_column(target, key.name), **conflict.computed}
    query = _query(target, excluded, outputs, key.name, conflict.where)
    keys = [from_stored(key, row[key.name]) for row in rows]
    params = replace(scope.params, values={**scope.params.values, _KEYS: keys})
    result = yield from select_rows(reading, scope.source, query, params)
    kinds, values = dict(zip(outputs, result.types, strict=True)), dict[Any, Row]()
    for selected in result.rows:
        cells = dict(zip(outputs, selected, strict=True))
        values[to_stored(key, cells.pop("__key"))] = {
            name: fit_value(
                scope,
                shape,
                assigned(scope, cells[name], shape.columns[name], node, kinds[name]),
                shape.columns[name],
                node,
            )
            for name, node in conflict.computed.items()
        }
    return values


def _reading(session: Session, scope: Scope, rows: Sequence[Row]) -> Session:
    """The session with the new rows as a table."""
    from nestvec.sql.relational.arrow_rows import arrow_rows  # noqa: PLC0415 - few statements need it

    columns = scope.table.columns
    excluded = [
        {column.name: from_stored(column, row.get(column.name, column.default)) for column in columns}
        for row in rows
    ]
    reading = strong(session)
    tables = {name: data for name, data in session.caller.tables.items() if name != scope.table.name}
    reading.caller = replace(session.caller, tables={**tables, _NEW_ROWS: arrow_rows(columns, excluded)})
    return reading


def _excluded(scope: Scope) -> exp.Subquery:
    """The new rows with the types of the table's columns, as ``excluded``."""
    from nestvec.sql.relational.arrow_rows import casts_of  # noqa: PLC0415

    casts = casts_of(scope.table.columns)
    items = list[exp.Expr]()
    for column in scope.table.columns:
        identifier = exp.to_identifier(column.name, quoted=True)
        kind = casts.get(column.name)
        value = exp.column(identifier)
        items.append(value if kind is None else exp.alias_(exp.cast(value, kind), identifier.copy()))
    select = exp.Select(expressions=items)
    select.set("from_", exp.From(this=exp.Table(this=exp.to_identifier(_NEW_ROWS, quoted=True))))
    alias = exp.TableAlias(this=exp.to_identifier(_EXCLUDED, quoted=True))
    return exp.Subquery(this=select, alias=alias)


def _query(
    target: exp.Table,
    new_rows: exp.Subquery,
    outputs: Mapping[str, exp.Expr],
    key: str,
    where: exp.Expr | None,
) -> exp.Select:
    """``outputs`` of the stored rows, each beside the new row of its key."""
    items = [exp.alias_(node.copy(), name, quoted=True) for name, node in outputs.items()]
    stored = target_column(target, key)
    excluded = exp.column(exp.to_identifier(key, quoted=True), exp.to_identifier(_EXCLUDED, quoted=True))
    conditions: list[exp.Expr] = [
        exp.EQ(this=stored.copy(), expression=exp.Any(this=exp.Placeholder(this=_KEYS))),
        exp.EQ(this=stored.copy(), expression=excluded),
    ]
    conditions += [] if where is None else [exp.Paren(this=where.copy())]
    select = exp.Select(expressions=items)
    select.set("from_", exp.From(this=target.copy()))
    select.set("joins", [exp.Join(this=new_rows)])
    select.set("where", exp.Where(this=exp.and_(*conditions)))
    return select
