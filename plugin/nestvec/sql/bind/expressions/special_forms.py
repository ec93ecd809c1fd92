"""Expressions with a grammar of their own: comparisons, CASE, casts, ||, array elements, JSON operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqlglot import exp

from nestvec.sql.bind.expressions.functions import CASTS
from nestvec.sql.bind.expressions.nodes import Constant, Expression, FunctionCall
from nestvec.sql.bind.expressions.typing import (
    NULL,
    TypedExpression,
    check_kind,
    common_type,
    location_of,
    promoted,
)
from nestvec.sql.bind.scope import STRINGS, Scope
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import IGNORED_PARTS, chain_operands, stray_parts

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "is not distinct from",
    exp.NullSafeNEQ: "is distinct from",
}
_LOGICAL: dict[type[exp.Expr], str] = {exp.And: "and", exp.Or: "or", exp.Not: "not"}
_CHOICES: dict[type[exp.Expr], str] = {
    exp.Coalesce: "coalesce",
    exp.Greatest: "greatest",
    exp.Least: "least",
}
_SCALAR = "a number, a string or a boolean"
_JSON: dict[type[exp.Expr], tuple[str, str]] = {
    exp.JSONExtract: ("->", "JSON"),
    exp.JSONExtractScalar: ("->>", "VARCHAR"),
    exp.JSONBExtract: ("#>", "JSON"),
    exp.JSONBExtractScalar: ("#>>", "VARCHAR"),
}


class Binder(Protocol):
    """What special forms need of ``binder.ExpressionBinder``, which imports this file."""

    @property
    def scope(self) -> Scope: ...

    @property
    def clause(self) -> str: ...

    def bind_child(self, node: exp.Expr) -> TypedExpression: ...


def bind_form(binder: Binder, node: exp.Expr) -> TypedExpression | None:
    """Bind a special form; None for any other node. Raises the errors of ``bind_query``."""
    bind = _BINDERS.get(type(node))
    return None if bind is None else bind(binder, node)


def _call(
    binder: Binder, node: exp.Expr, name: str, arguments: Sequence[Expression], return_type: str
) -> TypedExpression:
    return TypedExpression(
        FunctionCall(name, tuple(arguments), location_of(binder.scope.source, node)), return_type
    )


def _logical(binder: Binder, node: exp.Expr) -> TypedExpression:
    name = _LOGICAL[type(node)]
    nodes = [node.this] if isinstance(node, exp.Not) else chain_operands(node)
    operands = _bind_all(binder, nodes, name.upper(), "a boolean")
    return _call(binder, node, name, [operand.expression for operand in operands], "BOOL")


def _bind_all(binder: Binder, nodes: Sequence[exp.Expr], taker: str, kind: str = "") -> list[TypedExpression]:
    """Bind operands, each of a kind if one is given; ``taker`` names what takes them, in errors."""
    operands = [binder.bind_child(node) for node in nodes]
    for operand, node in zip(operands, nodes, strict=True):
        check_kind(binder.scope.source, operand, kind, node, taker)
    return operands


def _bind_common_type(
    binder: Binder, nodes: Sequence[exp.Expr], taker: str, kind: str = ""
) -> tuple[list[Expression], str]:
    """Bind operands and promote them to one type; that type too."""
    operands = _bind_all(binder, nodes, taker, kind)
    return_type = common_type(binder.scope.source, operands, nodes, taker)
    return [promoted(operand, return_type) for operand in operands], return_type


def _compare(binder: Binder, node: exp.Expr) -> TypedExpression:
    nodes = [node.this, node.args["expression"]]
    if isinstance(nodes[1], (exp.Any, exp.All)):
        raise binder.scope.source.not_supported(f"ANY or ALL in {binder.clause}", node, "Write IN (…).")
    name = _COMPARISONS[type(node)]
    # Integers are not promoted: Python compares them with floats exactly.
    operands = _bind_all(binder, nodes, name.upper(), _SCALAR)
    common_type(binder.scope.source, operands, nodes, name.upper())
    return _call(binder, node, name, [operand.expression for operand in operands], "BOOL")


def _between(binder: Binder, node: exp.Expr) -> TypedExpression:
    if stray_parts(node, ("this", "low", "high")):
        raise binder.scope.source.not_supported("BETWEEN SYMMETRIC", node, "Write the lower bound first.")
    value, low, high = _bind_common_type(
        binder, [node.this, node.args["low"], node.args["high"]], "BETWEEN", _SCALAR
    )[0]
    location = location_of(binder.scope.source, node)
    return TypedExpression(
        FunctionCall(
            "and", (FunctionCall(">=", (value, low), location), FunctionCall("<=", (value, high), location))
        ),
        "BOOL",
    )


def _in(binder: Binder, node: exp.Expr) -> TypedExpression:
    if not node.expressions or stray_parts(node, ("this", "expressions")):
        raise binder.scope.source.not_supported("IN with anything but a list", node, "Write IN (1, 2).")
    return _call(
        binder,
        node,
        "in",
        _bind_common_type(binder, [node.this, *node.expressions], "IN", _SCALAR)[0],
        "BOOL",
    )


def _is(binder: Binder, node: exp.Expr) -> TypedExpression:
    expected = node.args["expression"]
    operand = binder.bind_child(node.this)
    if isinstance(expected, exp.Null):
        test = _call(binder, node, "is null", [operand.expression], "BOOL")
    elif isinstance(expected, exp.Boolean):
        check_kind(binder.scope.source, operand, "a boolean", node.this, "IS TRUE")
        test = _call(binder, node, "is", [operand.expression, Constant(bool(expected.this))], "BOOL")
    else:
        raise binder.scope.source.not_supported("IS with anything but NULL, TRUE and FALSE", node, "Write =.")
    return _call(binder, node, "not", [test.expression], "BOOL") if node.args.get("negate") else test


def _case(binder: Binder, node: exp.Expr) -> TypedExpression:
    source, subject = binder.scope.source, node.args.get("this")
    conditions: list[Expression] = []
    for branch in node.args["ifs"]:
        if subject is not None:
            operands, _ = _bind_common_type(binder, [subject, branch.this], "CASE", _SCALAR)
            conditions.append(FunctionCall("=", tuple(operands), location_of(source, branch)))
            continue
        when = binder.bind_child(branch.this)
        check_kind(source, when, "a boolean", branch.this, "WHEN")
        conditions.append(when.expression)
    default = node.args.get("default")
    nodes = [branch.args["true"] for branch in node.args["ifs"]] + ([default] if default is not None else [])
    values, return_type = _bind_common_type(binder, nodes, "CASE")
    pairs = [part for pair in zip(conditions, values, strict=False) for part in pair]
    last = values[-1] if default is not None else Constant(None)
    return _call(binder, node, "case", [*pairs, last], return_type)


def _choice(binder: Binder, node: exp.Expr) -> TypedExpression:
    name = _CHOICES[type(node)]
    if stray_parts(node, ("this", "expressions", *IGNORED_PARTS)):
        raise binder.scope.source.not_supported(
            f"{construct_name(node)} in {binder.clause}", node, "Pass the values."
        )
    kind = "" if name == "coalesce" else _SCALAR
    values, return_type = _bind_common_type(binder, [node.this, *node.expressions], name.upper(), kind)
    return _call(binder, node, name, values, return_type)


def _nullif(binder: Binder, node: exp.Expr) -> TypedExpression:
    nodes = [node.this, node.args["expression"]]
    operands = _bind_all(binder, nodes, "NULLIF", _SCALAR)
    common_type(binder.scope.source, operands, nodes, "NULLIF")
    return _call(binder, node, "nullif", [operand.expression for operand in operands], operands[0].type)


def _cast(binder: Binder, node: exp.Expr) -> TypedExpression:
    source, to = binder.scope.source, node.args["to"]
    target = CASTS.get(to.this) if isinstance(to, exp.DataType) else None
    length = to.expressions if target is not None and to.this == exp.DType.VARCHAR else []
    parts = stray_parts(to, ("this", "nested", *(["expressions"] if length else []))) if target else []
    if target is None or parts or stray_parts(node, ("this", "to", *IGNORED_PARTS)):
        raise source.not_supported(
            f"a cast to {to.sql('postgres')[:40]}",
            node,
            "Cast to smallint, int, bigint, real, float, text, varchar(n) or boolean.",
        )
    operand = binder.bind_child(node.this)
    kind = "a JSON value" if operand.type == "JSON" else _SCALAR
    if operand.type == "FLOAT_VECTOR" and target[0] == "text":
        kind = ""
    check_kind(source, operand, kind, node.this, "a cast")
    if {operand.type, target[1]} in ({"FLOAT", "BOOL"}, {"DOUBLE", "BOOL"}):
        raise source.type_mismatch(
            "a floating-point number cannot be cast to boolean", operand.type, node, "Write <> 0."
        )
    name = "real text" if operand.type == "FLOAT" and target[0] == "text" else target[0]
    cast = _call(binder, node, name, [operand.expression], target[1])
    if length:
        max_length = binder.scope.constant(length[0].this)
        cast = _call(binder, node, "left", [cast.expression, Constant(max_length)], "VARCHAR")
    return cast


def _concatenation(binder: Binder, node: exp.Expr) -> TypedExpression:
    nodes = chain_operands(node)
    operands = _bind_all(binder, nodes, "||", _SCALAR)
    if not any(operand.type in (*STRINGS, NULL) for operand in operands[:2]):
        raise binder.scope.source.type_mismatch(
            "|| concatenates strings", operands[0].type, node, "Cast one operand with ::text."
        )
    return _call(binder, node, "||", [_as_text(operand) for operand in operands], "VARCHAR")


def _as_text(operand: TypedExpression) -> Expression:
    if operand.type in (*STRINGS, NULL):
        return operand.expression
    return FunctionCall("real text" if operand.type == "FLOAT" else "text", (operand.expression,))


def _concat(binder: Binder, node: exp.Expr) -> TypedExpression:
    if stray_parts(node, ("expressions", *IGNORED_PARTS)):
        raise binder.scope.source.not_supported(
            f"{construct_name(node)} in {binder.clause}", node, "Write ||."
        )
    operands = _bind_all(binder, node.expressions, "concat", _SCALAR)
    name = "concat_ws" if isinstance(node, exp.ConcatWs) else "concat"
    if name == "concat_ws":
        check_kind(binder.scope.source, operands[0], "a string", node.expressions[0], name)
    # In concat() a boolean is t or f, as in PostgreSQL's output; a cast to text gives true or false.
    texts = [
        FunctionCall("t or f", (operand.expression,)) if operand.type == "BOOL" else _as_text(operand)
        for operand in operands
    ]
    return _call(binder, node, name, texts, "VARCHAR")


def _array_element(binder: Binder, node: exp.Expr) -> TypedExpression:
    source = binder.scope.source
    if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
        raise source.not_supported("an array slice", node, "Select one element: tags[1].")
    array, index = binder.bind_child(node.this), binder.bind_child(node.expressions[0])
    check_kind(source, array, "an array", node.this, "[…]")
    check_kind(source, index, "an integer", node.expressions[0], "[…]")
    return _call(binder, node, "element", [array.expression, index.expression], array.element_type or "ANY")


def _tells_null(node: exp.Expr) -> bool:
    """Whether it matters where a node stands that JSON's null is not NULL."""
    parent = node.parent
    while isinstance(parent, (exp.Paren, exp.Alias)):
        parent = parent.parent
    select = node.find_ancestor(exp.Select)
    grouped = select is not None and bool(select.args.get("group") or select.args.get("distinct"))
    return grouped or not isinstance(parent, (exp.Select, exp.Ordered, exp.Cast, *_JSON))


def _json_operator(binder: Binder, node: exp.Expr) -> TypedExpression:
    source, (name, return_type) = binder.scope.source, _JSON[type(node)]
    if return_type == "JSON" and _tells_null(node):
        # JSON's null is a value, which the values here do not tell from a missing one.
        raise source.not_supported("a part of a document here", node, "Use ->>.")
    document = binder.bind_child(node.this)
    check_kind(source, document, "a JSON value", node.this, name)
    path = node.args["expression"]
    steps = path.expressions[1:] if isinstance(path, exp.JSONPath) else []
    if len(steps) == 1 and isinstance(steps[0], (exp.JSONPathKey, exp.JSONPathSubscript)):
        key = TypedExpression(
            Constant(steps[0].this), "VARCHAR" if isinstance(steps[0].this, str) else "INT64"
        )
    else:
        key = binder.bind_child(path)
        check_kind(source, key, "a string" if "#" in name else _SCALAR, path, name)
    return _call(binder, node, name, [document.expression, key.expression], return_type)


_BINDERS: dict[type[exp.Expr], Callable[[Binder, exp.Expr], TypedExpression]] = {
    **dict.fromkeys(_COMPARISONS, _compare),
    **dict.fromkeys(_JSON, _json_operator),
    **dict.fromkeys(_LOGICAL, _logical),
    **dict.fromkeys(_CHOICES, _choice),
    **dict.fromkeys((exp.Concat, exp.ConcatWs), _concat),
    exp.Between: _between,
    exp.In: _in,
    exp.Is: _is,
    exp.Case: _case,
    exp.Nullif: _nullif,
    exp.Cast: _cast,
    exp.DPipe: _concatenation,
    exp.Bracket: _array_element,
}
