"""RETURNING: columns of the rows that a statement wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from nestvec.catalog import Table
from nestvec.sql.answer import Answer
from nestvec.sql.bind.expressions import fields
from nestvec.sql.bind.outputs import Output, bind_outputs
from nestvec.sql.bind.scope import Scope
from nestvec.sql.run.evaluate import Found, evaluate
from nestvec.sql.run.write import existing
from nestvec.sql.session import Session
from nestvec.steps import Steps


@dataclass(frozen=True)
class Returning:
    """What an answer has of every row."""

    outputs: tuple[Output, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return tuple(dict.fromkeys(name for one in self.outputs for name in fields(one.expression)))

    def answer(self, rows: Sequence[dict[str, Any]], answer: Answer) -> Answer:
        """``answer`` with what is made of these rows."""
        made = tuple(tuple(evaluate(one.expression, Found(row)) for one in self.outputs) for row in rows)
        return replace(
            answer,
            columns=tuple(one.name for one in self.outputs),
            types=tuple(one.type for one in self.outputs),
            rows=made,
        )


def bind_returning(scope: Scope, node: exp.Expr | None) -> Returning | None:
    """Bind a RETURNING as the select list that it is; None where there is none. Raises SqlError."""
    if node is None:
        return None
    # A tree is shared by all who parse the same text: what becomes part of another is copied.
    select = exp.Select(expressions=[one.copy() for one in node.expressions])
    return Returning(bind_outputs(scope, select, None))


def returned(
    session: Session, table: Table, returning: Returning, ids: Sequence[Any], answer: Answer
) -> Steps[Answer]:
    """``answer`` with the rows of these ids, read back as they are stored now."""
    found = yield from existing(session, table, ids, returning.fields)
    return returning.answer([found[one] for one in ids if one in found], answer)
