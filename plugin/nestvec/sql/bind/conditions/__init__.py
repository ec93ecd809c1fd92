"""WHERE as a Milvus filter, and what of it no filter says as PostgreSQL means it."""

from __future__ import annotations

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions.nodes import ALWAYS, NEVER, And, Condition, IsNull, Narrowed, conjunction
from nestvec.sql.bind.conditions.operands import CONDITION_FORM, is_filterable
from nestvec.sql.bind.conditions.remainder import check_remainder
from nestvec.sql.bind.conditions.split import narrow
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import chain_operands, without_parens

__all__ = ["MAX_TERMS", "Condition", "bind_condition", "split_condition"]

MAX_TERMS = 10_000
"""Constants in one WHERE."""


def split_condition(scope: Scope, node: exp.Expr) -> tuple[Condition | None, exp.Expr | None]:
    """Split a WHERE into a condition for Milvus, which the WHERE implies, and what remains to be checked.

    Both together are the WHERE, as PostgreSQL means it. Either is None where there is nothing of it; the
    second is a copy. Raises SqlUnknownName, SqlTypeMismatch, SqlSyntaxError, and SqlNotSupported for ``@@``
    that cannot be separated from the rest.
    """
    conditions, rest = _split(scope, node)
    remaining = [term.copy() for term, _ in rest]
    for term in remaining:
        check_remainder(scope, term)
    return conditions, exp.and_(*remaining) if remaining else None


def bind_condition(scope: Scope, node: exp.Expr) -> Condition | None:
    """Bind a WHERE that Milvus says exactly; None for one that every row passes.

    Raises SqlUnknownName, SqlTypeMismatch, SqlSyntaxError, and SqlNotSupported for any other.
    """
    condition, rest = _split(scope, node)
    for _, narrowed in rest:
        if narrowed.error is not None:
            raise narrowed.error
        part = narrowed.rest
        construct = construct_name(part) if part is not None else "this condition"
        raise scope.source.not_supported(f"{construct} in WHERE", part, CONDITION_FORM)
    return condition


def _split(scope: Scope, node: exp.Expr) -> tuple[Condition | None, list[tuple[exp.Expr, Narrowed]]]:
    """The condition, and the terms that it does not say, as far as it says them."""
    constants = sum(isinstance(child, (exp.Literal, exp.Boolean)) for child in node.walk())
    if constants > MAX_TERMS:
        raise scope.source.type_mismatch(
            f"WHERE has more than {MAX_TERMS:,} constants", constants, node, "Run several statements."
        )
    terms = [(term, narrow(scope, term)) for term in _terms(node)]
    condition = conjunction(narrowed.condition for _, narrowed in terms)
    if condition == NEVER:
        return _never(scope), []
    return None if condition == ALWAYS else condition, [
        (term, narrowed) for term, narrowed in terms if narrowed.rest is not None
    ]


def _terms(node: exp.Expr) -> list[exp.Expr]:
    """The terms of nested ANDs."""
    node = without_parens(node)
    if not isinstance(node, exp.And):
        return [node]
    return [term for part in chain_operands(node) for term in _terms(part)]


def _never(scope: Scope) -> Condition:
    """A condition of a filter that no row passes."""
    columns = (scope.table.primary, *scope.table.columns)
    column: Column = next(each for each in columns if is_filterable(each.name) and not each.is_vector)
    return And((IsNull(column), IsNull(column, negated=True)))
