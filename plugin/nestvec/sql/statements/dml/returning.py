"""RETURNING: columns of the rows that a statement wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.sql.answer import StatementResult
from nestvec.sql.bind.expressions.expressions import fields
from nestvec.sql.bind.outputs import Output, bind_outputs
from nestvec.sql.bind.scope import Scope
from nestvec.sql.execute.evaluate import ScoredRow, evaluate
from nestvec.sql.execute.write import read_by_ids
from nestvec.sql.session import Session


@dataclass(frozen=True)
class Returning:
    """What an answer has of every row."""

    outputs: tuple[Output, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return tuple(dict.fromkeys(name for output in self.outputs for name in fields(output.expression)))

    def with_rows(self, rows: Sequence[dict[str, Any]], answer: StatementResult) -> StatementResult:
        """``answer`` with what is made of these rows."""
        values = tuple(
            tuple(evaluate(output.expression, ScoredRow(row)) for output in self.outputs) for row in rows
        )
        return replace(
            answer,
            columns=tuple(output.name for output in self.outputs),
            types=tuple(output.type for output in self.outputs),
            rows=values,
        )


def bind_returning(scope: Scope, node: exp.Expr | None) -> Returning | None:
    """Bind a RETURNING as the select list that it is; None where there is none. Raises SqlError."""
    if node is None:
        return None
    # A tree is shared by all who parse the same text: what becomes part of another is copied.
    select = exp.Select(expressions=[expression.copy() for expression in node.expressions])
    return Returning(bind_outputs(scope, select, None))


def read_returning(
    session: Session, table: Table, returning: Returning, ids: Sequence[Any], answer: StatementResult
) -> Steps[StatementResult]:
    """``answer`` with the rows of these ids, read back as they are stored now."""
    rows_by_id = yield from read_by_ids(session, table, ids, returning.fields)
    return returning.with_rows([rows_by_id[row_id] for row_id in ids if row_id in rows_by_id], answer)
