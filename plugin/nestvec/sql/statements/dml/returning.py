"""RETURNING: columns of the rows that a statement changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.sql.bind.expressions.nodes import columns_read
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.select_list import OutputColumn, bind_outputs
from nestvec.sql.execute.evaluate import ScoredRow, evaluate
from nestvec.sql.execute.read import read_by_ids
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session


@dataclass(frozen=True)
class Returning:
    """The columns that a statement returns of every row."""

    outputs: tuple[OutputColumn, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The stored columns that they read."""
        return tuple(
            dict.fromkeys(name for output in self.outputs for name in columns_read(output.expression))
        )

    def with_rows(self, rows: Sequence[dict[str, Any]], result: StatementResult) -> StatementResult:
        """The result with the columns of these rows."""
        values = tuple(
            tuple(evaluate(output.expression, ScoredRow(row)) for output in self.outputs) for row in rows
        )
        return replace(
            result,
            columns=tuple(output.name for output in self.outputs),
            types=tuple(output.type for output in self.outputs),
            rows=values,
        )


def bind_returning(scope: Scope, node: exp.Expr | None) -> Returning | None:
    """Bind a RETURNING, which is a select list; None if there is none. Raises SqlError."""
    if node is None:
        return None
    # Executions of the same text share one tree: what becomes part of another tree is copied.
    select = exp.Select(expressions=[expression.copy() for expression in node.expressions])
    return Returning(bind_outputs(scope, select, None))


def read_returning(
    session: Session, table: Table, returning: Returning, ids: Sequence[Any], result: StatementResult
) -> Steps[StatementResult]:
    """The result with the rows of these ids, as they are stored now."""
    rows_by_id = yield from read_by_ids(session, table, ids, returning.fields)
    return returning.with_rows([rows_by_id[row_id] for row_id in ids if row_id in rows_by_id], result)
