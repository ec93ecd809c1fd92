"""WHERE in two parts: what Milvus says as PostgreSQL means it, and the rest."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from nestvec.sql.bind.conditions.nodes import And, Condition
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import chain_operands, without_parens
from nestvec_schemas.errors import SqlNotSupported


def split_terms(
    scope: Scope, node: exp.Expr, bind: Callable[[Scope, exp.Expr], Condition]
) -> tuple[Condition | None, exp.Expr | None]:
    """The conjunction of the terms that ``bind`` takes, and that of the others."""
    exact: list[Condition] = []
    rest: list[exp.Expr] = []
    for term in _terms(node):
        try:
            exact.append(bind(scope, term))
        except SqlNotSupported:
            rest.append(term.copy())
    pushed = And(tuple(exact)) if len(exact) > 1 else next(iter(exact), None)
    return pushed, exp.and_(*rest) if rest else None


def _terms(node: exp.Expr) -> list[exp.Expr]:
    node = without_parens(node)
    if not isinstance(node, exp.And):
        return [node]
    return [term for part in chain_operands(node) for term in _terms(part)]
