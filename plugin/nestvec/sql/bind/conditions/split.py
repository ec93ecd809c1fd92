"""The splitting of a condition, with every NOT pushed down to the comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.conditions import arrays, lists, texts
from nestvec.sql.bind.conditions.compare import compare_columns, compare_constant, is_null
from nestvec.sql.bind.conditions.constants import TypedConstant, read_constant
from nestvec.sql.bind.conditions.nodes import (
    ALWAYS,
    NEGATED,
    NEVER,
    Compare,
    IsNull,
    Narrowed,
    Operator,
    all_of,
    any_of,
    disjunction,
)
from nestvec.sql.bind.conditions.operands import CONDITION_FORM, is_operand, operand
from nestvec.sql.bind.conditions.remainder import remainder
from nestvec.sql.bind.conditions.rows import bind_row_in, bind_rows, is_row
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import chain_operands, stray_parts, without_parens
from nestvec_schemas.errors import SqlNotSupported

_OPERATORS: Final[dict[type[exp.Expr], Operator]] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_MIRRORED: Final[dict[Operator, Operator]] = {
    "=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=",
}  # fmt: skip


def narrow(scope: Scope, node: exp.Expr, negated: bool = False) -> Narrowed:
    """A condition as far as Milvus can say it. Raises SqlUnknownName, SqlTypeMismatch, SqlSyntaxError."""
    while isinstance(node, (exp.Not, exp.Paren)):
        negated ^= isinstance(node, exp.Not)
        node = node.this
    if isinstance(node, (exp.And, exp.Or)):
        parts = [narrow(scope, part, negated) for part in chain_operands(node)]
        return all_of(parts) if isinstance(node, exp.And) != negated else any_of(parts)
    try:
        return _leaf(scope, node, negated)
    except SqlNotSupported as error:
        return remainder(scope, node, error)


def _leaf(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    constant = read_constant(scope, node)
    if constant is not None:
        return _truth(scope, constant, node, negated)
    if is_operand(node):
        return _boolean(scope, node, negated)
    binder = _BINDERS.get(type(node))
    if binder is None:
        raise scope.source.not_supported(f"{construct_name(node)} in WHERE", node, CONDITION_FORM)
    return binder(scope, node, negated)


def _truth(scope: Scope, constant: TypedConstant, node: exp.Expr, negated: bool) -> Narrowed:
    if constant.value is None:
        return Narrowed(NEVER)
    if not isinstance(constant.value, bool):
        raise scope.source.type_mismatch(
            "WHERE takes a boolean", str(constant.value)[:40], node, CONDITION_FORM
        )
    return Narrowed(ALWAYS if constant.value != negated else NEVER)


def _boolean(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    value = operand(scope, node)
    if value.column.type != "BOOL":
        raise scope.source.type_mismatch(
            f"column {value.column.name} is {value.column.type}, not a boolean",
            value.column.name,
            node,
            CONDITION_FORM,
        )
    return compare_constant(scope, value, "=", TypedConstant(not negated, "boolean"), node)


def _bind_compare(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    left, right, operator = node.this, node.args["expression"], _OPERATORS[type(node)]
    if is_row(left) or is_row(right):
        return bind_rows(scope, node, NEGATED[operator] if negated else operator, narrow)
    quantified = lists.quantified(right)
    if quantified is not None:
        return _bind_quantified(scope, node, operator, quantified, negated)
    operator = NEGATED[operator] if negated else operator
    constants = read_constant(scope, left), read_constant(scope, right)
    if constants[0] is not None and constants[1] is not None:
        return _compare_constants(scope, constants[0], operator, constants[1], node)
    if constants[0] is not None:
        left, right, operator = right, left, _MIRRORED[operator]
    constant = constants[0] or constants[1]
    value = operand(scope, left)
    if constant is not None:
        return compare_constant(scope, value, operator, constant, right).at(node)
    if value.form == "column" and value.column.type == "ARRAY" and operator == "=":
        return arrays.bind_equal_array(scope, value.column, right, node)
    return compare_columns(scope, value, operand(scope, right), operator, node)


def _compare_constants(
    scope: Scope, left: TypedConstant, operator: Operator, right: TypedConstant, node: exp.Expr
) -> Narrowed:
    if left.value is None or right.value is None:
        return Narrowed(NEVER)
    if left.kind != right.kind or left.kind in ("double", "boolean", "typed"):
        raise scope.source.not_supported(
            f"{construct_name(node)} of constants in WHERE", node, CONDITION_FORM
        )
    first, second = left.value, right.value
    holds = {
        "=": first == second,
        "!=": first != second,
        "<": first < second,  # type: ignore[operator]
        "<=": first <= second,  # type: ignore[operator]
        ">": first > second,  # type: ignore[operator]
        ">=": first >= second,  # type: ignore[operator]
    }
    return Narrowed(ALWAYS if holds[operator] else NEVER)


def _bind_quantified(
    scope: Scope, node: exp.Expr, operator: Operator, quantified: tuple[bool, exp.Expr], negated: bool
) -> Narrowed:
    """``x = ANY(list)``, ``x <> ALL(list)``, ``constant = ANY(array_column)``."""
    every, inner = quantified
    if is_operand(inner):
        constant = read_constant(scope, node.this)
        array = operand(scope, inner)
        if array.form != "column" or array.column.type != "ARRAY" or constant is None:
            raise scope.source.not_supported("ANY or ALL of this", inner, "Name an array column.")
        if operator != ("!=" if every else "="):
            raise scope.source.not_supported("this comparison with ANY or ALL", node, "Write = ANY(array).")
        return arrays.bind_element_of(scope, constant, node.this, array.column, negated != every)
    return lists.bind_any_list(
        scope, operand(scope, node.this), operator, inner, every=every, negated=negated
    )


def _bind_in(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    if stray_parts(node, ("this", "expressions")):
        raise scope.source.not_supported(
            "IN with anything but a list", node, "Write IN (1, 2, 3), or = ANY(:list)."
        )
    if not node.expressions:
        raise scope.source.syntax_error("the list of IN is empty", node, "Write at least one constant.")
    if is_row(node.this):
        return bind_row_in(scope, node, negated, narrow)
    value = operand(scope, node.this)
    constants = [(read_constant(scope, item), item) for item in node.expressions]
    items = [(constant, item) for constant, item in constants if constant is not None]
    if len(items) < len(constants):
        raise scope.source.not_supported("IN with anything but constants", node, "Write constants.")
    return lists.bind_in_list(scope, value, items, negated).at(node)


def _bind_between(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    value = operand(scope, node.this)
    bounds = []
    for name in ("low", "high"):
        constant = read_constant(scope, node.args[name])
        if constant is None:
            raise scope.source.not_supported("BETWEEN with anything but constants", node, "Write constants.")
        bounds.append((constant, node.args[name]))
    symmetric = bool(node.args.get("symmetric"))
    return lists.between(scope, value, bounds[0], bounds[1], negated=negated, symmetric=symmetric).at(node)


def _bind_is(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    """``IS [NOT] NULL``, ``IS [NOT] TRUE`` and ``IS [NOT] FALSE``."""
    right, inner = node.args["expression"], without_parens(node.this)
    negated ^= bool(node.args.get("negate"))
    constant = read_constant(scope, inner)
    if isinstance(right, exp.Null):
        if constant is not None:
            return Narrowed(ALWAYS if (constant.value is None) != negated else NEVER)
        return is_null(operand(scope, inner), negated, node)
    if not isinstance(right, exp.Boolean):
        raise scope.source.not_supported(construct_name(node), node, "Supported: IS NULL, IS TRUE, IS FALSE.")
    if not negated:
        return narrow(scope, inner, negated=not right.this)
    # Not true is false or NULL, which Milvus says of columns only.
    if is_operand(inner):
        value = operand(scope, inner)
        if value.column.type == "BOOL" and value.form != "json":
            opposite = Compare(value.column, "=", not right.this)
            return Narrowed(disjunction((IsNull(value.column), opposite)))
    raise scope.source.not_supported(construct_name(node), node, "Supported: IS NOT TRUE of a column.")


def _bind_distinct(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    """``IS [NOT] DISTINCT FROM`` a constant."""
    negated ^= isinstance(node, exp.NullSafeEQ)
    left, right = node.this, node.args["expression"]
    if read_constant(scope, left) is not None:
        left, right = right, left
    constant = read_constant(scope, right)
    value = operand(scope, left)
    if constant is None:
        raise scope.source.not_supported("IS DISTINCT FROM a column", node, "Compare with a constant.")
    if constant.value is None:
        return is_null(value, not negated, node)
    if negated:
        return compare_constant(scope, value, "=", constant, right).at(node)
    different = compare_constant(scope, value, "!=", constant, right)
    return any_of((is_null(value, False, node), different)).at(node)


_BINDERS: dict[type[exp.Expr], Callable[[Scope, exp.Expr, bool], Narrowed]] = {
    **dict.fromkeys(_OPERATORS, _bind_compare),
    exp.In: _bind_in,
    exp.Between: _bind_between,
    exp.Is: _bind_is,
    exp.NullSafeEQ: _bind_distinct,
    exp.NullSafeNEQ: _bind_distinct,
    exp.Like: texts.bind_like,
    exp.ILike: texts.bind_like,
    exp.Escape: texts.bind_like,
    exp.StartsWith: texts.bind_starts_with,
    exp.RegexpLike: texts.bind_regular,
    exp.RegexpILike: texts.bind_regular,
    exp.SimilarTo: texts.bind_regular,
    exp.MatchAgainst: texts.bind_match,
    exp.ArrayContainsAll: arrays.bind_has_all,
    exp.ArrayContainedBy: arrays.bind_contained,
    exp.ArrayOverlaps: arrays.bind_overlaps,
}
