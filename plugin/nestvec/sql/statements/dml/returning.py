"""RETURNING: columns of the rows that a statement changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.select_list import OutputColumn, bind_select_items, list_select_items
from nestvec.sql.bind.values import BeyondMilvus, ColumnRef, ValueBinder
from nestvec.sql.execute.read import read_by_ids
from nestvec.sql.execute.rows import ScoredRow, value_of
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.relational.relations import FIRST_SCAN, CollectionScan, RelationalPlan
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlError


@dataclass(frozen=True)
class Returning:
    """The columns that a statement returns of every row: stored ones, or values that DuckDB computes."""

    scope: Scope
    select: exp.Select
    """The list, over the table of the statement."""
    outputs: tuple[OutputColumn, ...] = ()
    """The columns, if all of them are stored."""
    plan: RelationalPlan | None = None
    """What DuckDB computes of each row, if any is not."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The stored columns that they read."""
        if self.plan is not None:
            scans = (
                relation
                for relation in self.plan.relations
                if isinstance(relation, CollectionScan) and relation.name == FIRST_SCAN
            )
            return tuple(dict.fromkeys(name for scan in scans for name in scan.fields))
        columns = (output.expression for output in self.outputs)
        return tuple(dict.fromkeys(column.name for column in columns if isinstance(column, ColumnRef)))


def bind_returning(scope: Scope, node: exp.Expr | None) -> Returning | None:
    """Bind a RETURNING, which is a select list; None if there is none. Raises SqlError."""
    if node is None:
        return None
    # Executions of the same text share one tree: what becomes part of another tree is copied.
    select = exp.Select(expressions=[expression.copy() for expression in node.expressions])
    items = list_select_items(scope, select)
    parts = select.walk(prune=lambda part: isinstance(part, exp.Query) and part is not select)
    several = next((part for part in parts if isinstance(part, (exp.AggFunc, exp.Window))), None)
    if several is not None:
        raise scope.source.not_supported(
            f"{construct_name(several)} in RETURNING", several, "RETURNING has a row for each changed row."
        )
    try:
        outputs = bind_select_items(ValueBinder(scope, "RETURNING"), items)
    except BeyondMilvus:
        table = exp.Table(
            this=exp.to_identifier(scope.table.name, quoted=True),
            alias=exp.TableAlias(this=exp.to_identifier(scope.name, quoted=True)),
        )
        select.set("from_", exp.From(this=table))
        return Returning(scope, select)
    return Returning(scope, select, outputs)


def prepare_returning(session: Session, returning: Returning | None) -> Steps[Returning | None]:
    """Plan what DuckDB computes, before anything is written. Raises SqlError."""
    if returning is None or returning.outputs:
        return returning
    from nestvec.sql.relational.plan import plan_relational  # noqa: PLC0415

    scope = returning.scope
    plan = yield from plan_relational(session, scope.source, returning.select, scope.params)
    prepared = replace(returning, plan=plan)
    # Names and types that do not fit are errors of the statement, whichever rows it changes.
    yield from with_rows(session, prepared, (), StatementResult())
    return prepared


def with_rows(
    session: Session, returning: Returning, rows: Iterable[Mapping[str, Any]], result: StatementResult
) -> Steps[StatementResult]:
    """The result with the columns of these rows, in their order. Raises SqlError."""
    if returning.plan is not None:
        from nestvec.sql.relational.run import run_over_rows  # noqa: PLC0415

        computed = yield from run_over_rows(session, returning.plan, list(rows))
        return replace(
            result,
            columns=computed.columns,
            types=computed.types,
            rows=computed.rows,
            elements=computed.elements,
            names=computed.names,
        )
    outputs = returning.outputs
    return replace(
        result,
        columns=tuple(output.name for output in outputs),
        types=tuple(output.type for output in outputs),
        rows=tuple(tuple(value_of(output.expression, ScoredRow(row)) for output in outputs) for row in rows),
    )


def read_returning(
    session: Session, table: Table, returning: Returning, ids: Sequence[Any], result: StatementResult
) -> Steps[StatementResult]:
    """The result with the rows of these ids, as they are stored now.

    Raises SqlError for a value that cannot be computed, which says that the rows are written.
    """
    rows_by_id = yield from read_by_ids(session, table, ids, returning.fields)
    rows = [rows_by_id[row_id] for row_id in ids if row_id in rows_by_id]
    try:
        return (yield from with_rows(session, returning, rows, result))
    except SqlError as error:
        raise error.after_writing(result.count) from None
