"""WHERE, bound to a table's columns, with every NOT pushed down to the comparisons.

Without a NOT above AND and OR, a comparison with NULL may count as false wherever it stands, as it does
in every engine; so the answer is SQL's, whatever an engine makes of NOT over NULL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from nestvec.catalog import Column
from nestvec.sql.reserved import is_filterable
from nestvec.sql.scope import STRINGS, Scope, Value
from nestvec.sql.source import stray_parts
from nestvec.sql.words import words

MAX_TERMS = 10_000
"""Constants in one WHERE."""

Operator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Compare:
    """``column operator value``; the value is of the column's type."""

    column: Column
    operator: Operator
    value: Value


@dataclass(frozen=True)
class Member:
    """``column [NOT] IN (values)``."""

    column: Column
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True)
class Like:
    """``column [NOT] LIKE pattern``, where ``%`` is the pattern's only special character."""

    column: Column
    pattern: str
    negated: bool = False


@dataclass(frozen=True)
class IsNull:
    """``column IS [NOT] NULL``."""

    column: Column
    negated: bool = False


@dataclass(frozen=True)
class Every:
    """All parts hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Either:
    """At least one part holds."""

    parts: tuple[Condition, ...]


Condition = Compare | Member | Like | IsNull | Every | Either

_OPERATORS: dict[type[exp.Expr], Operator] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_NEGATED: dict[Operator, Operator] = {"=": "!=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_MIRRORED: dict[Operator, Operator] = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SCALARS = (
    "Compare a column with a constant (=, <>, <, <=, >, >=, IN, BETWEEN, LIKE, IS NULL), with AND, OR, NOT."
)


def bind_condition(scope: Scope, node: exp.Expr) -> Condition:
    """Bind a WHERE. Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported, SqlSyntaxError."""
    constants = sum(isinstance(one, (exp.Literal, exp.Boolean)) for one in node.walk())
    if constants > MAX_TERMS:
        raise scope.source.type_mismatch(
            f"WHERE has more than {MAX_TERMS:,} constants", constants, node, "Run several statements."
        )
    return _bind(scope, node, False)


def _bind(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    while isinstance(node, (exp.Not, exp.Paren)):
        negated ^= isinstance(node, exp.Not)
        node = node.this
    if isinstance(node, (exp.And, exp.Or)):
        parts = tuple(_bind(scope, part, negated) for part in _chain(node))
        return Every(parts) if isinstance(node, exp.And) != negated else Either(parts)
    if isinstance(node, exp.Column):
        column = _operand(scope, node)
        if column.type != "BOOL":
            raise scope.source.type_mismatch(
                f"column {column.name} is {column.type}, not a condition", column.name, node, _SCALARS
            )
        return Compare(column, "=", not negated)
    if type(node) in _OPERATORS:
        return _compare(scope, node, negated)
    binder = _BINDERS.get(type(node))
    if binder is None:
        raise scope.source.not_supported(f"{words(node)} in WHERE", node, _SCALARS)
    return binder(scope, node, negated)


def _chain(node: exp.Expr) -> list[exp.Expr]:
    """The operands of ``a AND b AND c``, which parses as a left-deep tree; in order, without recursion."""
    kind, found = type(node), []
    while type(node) is kind:
        found.append(node.args["expression"])
        node = node.this
    return [node, *reversed(found)]


def _compare(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    left, right, operator = node.this, node.args["expression"], _OPERATORS[type(node)]
    if not isinstance(left, exp.Column):
        left, right, operator = right, left, _MIRRORED[operator]
    if isinstance(left, exp.Column) and isinstance(right, exp.Column):
        scope.column(left), scope.column(right)
        raise scope.source.not_supported("a comparison of two columns", node, _SCALARS)
    column = _operand(scope, left if isinstance(left, exp.Column) else node.this)
    value = scope.value(right, column)
    if column.type == "BOOL":
        if operator not in ("=", "!="):
            raise scope.source.not_supported("an order of BOOL values", node, "Compare it with = or <>.")
        return Compare(column, "=", (value is True) != ((operator == "!=") != negated))
    return Compare(column, _NEGATED[operator] if negated else operator, value)


def _operand(scope: Scope, node: exp.Expr) -> Column:
    """The scalar column that a condition is about."""
    if not isinstance(node, exp.Column):
        raise scope.source.not_supported(f"{words(node)} in WHERE", node, _SCALARS)
    column = scope.column(node)
    if column.is_vector:
        raise scope.source.type_mismatch(
            f"column {column.name} is a vector", column.type, node, "Order by its distance instead."
        )
    if not is_filterable(column.name):
        raise scope.source.not_supported(
            f"WHERE on a column named {column.name}",
            node,
            "The name has a meaning in Milvus's filters: rename it.",
        )
    return column


def _in(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    if stray_parts(node, ("this", "expressions")):
        raise scope.source.not_supported("IN with anything but a list", node, "Write IN (1, 2, 3).")
    if not node.expressions:
        raise scope.source.syntax_error("the list of IN is empty", node, "Write at least one constant.")
    column = _operand(scope, node.this)
    values = tuple(dict.fromkeys(scope.value(one, column) for one in node.expressions))
    if column.type == "BOOL":
        parts = tuple(Compare(column, "=", value is not negated) for value in values)
        return Every(parts) if negated else Either(parts)
    return Member(column, values, negated)


def _between(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    if stray_parts(node, ("this", "low", "high")):
        raise scope.source.not_supported("BETWEEN SYMMETRIC", node, "Write the lower bound first.")
    column = _operand(scope, node.this)
    low, high = (scope.value(node.args[bound], column) for bound in ("low", "high"))
    if column.type == "BOOL":
        raise scope.source.not_supported("an order of BOOL values", node, "Compare it with = or <>.")
    if negated:
        return Either((Compare(column, "<", low), Compare(column, ">", high)))
    return Every((Compare(column, ">=", low), Compare(column, "<=", high)))


def _is(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    if not isinstance(node.args["expression"], exp.Null):
        raise scope.source.not_supported(words(node), node, "Write = TRUE, = FALSE, IS NULL or IS NOT NULL.")
    return IsNull(_operand(scope, node.this), bool(node.args.get("negate")) != negated)


def _like(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    column = _operand(scope, node.this)
    if column.type not in STRINGS:
        raise scope.source.type_mismatch(f"column {column.name} is {column.type}", "LIKE", node, "Use =.")
    right = node.args["expression"]
    pattern = str(scope.value(right, column))
    negated = bool(node.args.get("negate")) != negated
    plain, special, escaped = _read_pattern(pattern)
    if plain is None:
        raise scope.source.type_mismatch(
            "this pattern ends in the escape character", pattern, right, "Write \\\\ for a backslash."
        )
    if not special:
        return Compare(column, "!=" if negated else "=", plain)
    if "_" in special:
        raise scope.source.not_supported(
            "_ as a wildcard in LIKE", right, "Milvus lets it stand for one byte, not one character. Use %."
        )
    if escaped:
        raise scope.source.not_supported(
            "an escaped character beside a wildcard in LIKE",
            right,
            "Milvus's versions differ on it. Use % where the escaped character stands.",
        )
    return Like(column, pattern, negated)


def _read_pattern(pattern: str) -> tuple[str | None, set[str], bool]:
    """A pattern's text without escapes (None where one is cut off), its wildcards, whether it has escapes."""
    plain: list[str] = []
    special: set[str] = set()
    escaped, rest = False, iter(pattern)
    for one in rest:
        if one == "\\":
            escaped = True
            following = next(rest, None)
            if following is None:
                return None, special, escaped
            plain.append(following)
        else:
            plain.append(one)
            if one in "%_":
                special.add(one)
    return "".join(plain), special, escaped


_BINDERS: dict[type[exp.Expr], Callable[[Scope, exp.Expr, bool], Condition]] = {
    exp.In: _in,
    exp.Between: _between,
    exp.Is: _is,
    exp.Like: _like,
}
