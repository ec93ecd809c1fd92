"""Types of the parameters of a statement, and the errors of those that have none, or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from nestvec.pgwire.errors import PgError
from nestvec.sql.analysis.nodes import number_of, shown_type
from nestvec.sql.analysis.signatures import UNKNOWN, UNTYPED
from nestvec.sql.analysis.statements import Statements
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sqltypes import oids


class ParameterTypes(Statements):
    """The types of a statement's parameters. Raises PgError for parameters that have none, or several."""

    def infer(self, tree: exp.Expr) -> tuple[int, ...]:
        """The type of each parameter; text where nothing says it, and PostgreSQL would not refuse it."""
        try:
            self.statement(tree)
        except RecursionError:
            self.numbers.update(map(number_of, tree.find_all(*PARAMETER_NODES)))  # running it says so
        count, untyped = max(self.numbers, default=0), self.untyped()
        if untyped and self.strict:
            raise PgError("42P18", f"could not determine data type of parameter ${untyped}")
        names = (self.types.get(number, "text") for number in range(1, count + 1))
        return tuple(oids.BY_NAME[name].oid if name in oids.BY_NAME else oids.TEXT for name in names)

    def inconsistent(self, number: int, before: str, type_: str) -> None:
        raise PgError(
            "42P08",
            f"inconsistent types deduced for parameter ${number}",
            detail=f"{before} versus {type_}",
        )

    def no_operator(self, operator: str, operands: Sequence[Any], types: Sequence[str]) -> None:
        """Raise PgError for a parameter whose type nothing tells, or is that of another place."""
        if self.strict and list(types) == [UNKNOWN, UNKNOWN]:
            raise PgError(
                "42725",
                f"operator is not unique: unknown {operator} unknown",
                hint="Cast a parameter: $1::int.",
            )
        numbers = set(map(number_of, operands)) - {0}
        if self.strict and numbers - self.declared and {UNKNOWN, UNTYPED}.isdisjoint(types):
            left, right = map(shown_type, types)
            raise PgError("42883", f"operator does not exist: {left} {operator} {right}")
