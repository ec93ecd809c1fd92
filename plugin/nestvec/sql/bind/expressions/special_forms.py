"""What has a grammar of its own in an expression: conditions, CASE, casts, ||, elements, JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqlglot import exp

from nestvec.sql.bind.expressions.expressions import Apply, Constant, Expression
from nestvec.sql.bind.expressions.functions import CASTS, QUIET
from nestvec.sql.bind.expressions.typing import NULL, Typed, check, common, mark, turned
from nestvec.sql.bind.scope import STRINGS, Scope
from nestvec.sql.parse.construct_names import words
from nestvec.sql.parse.source import stray_parts

_COMPARED: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "is not distinct from",
    exp.NullSafeNEQ: "is distinct from",
}
_TRUTHS: dict[type[exp.Expr], str] = {exp.And: "and", exp.Or: "or", exp.Not: "not"}
_ONE_OF: dict[type[exp.Expr], str] = {
    exp.Coalesce: "coalesce",
    exp.Greatest: "greatest",
    exp.Least: "least",
}
_PLAIN = "a number, a text or a condition"
_JSON: dict[type[exp.Expr], tuple[str, str]] = {
    exp.JSONExtract: ("->", "JSON"),
    exp.JSONExtractScalar: ("->>", "VARCHAR"),
    exp.JSONBExtract: ("#>", "JSON"),
    exp.JSONBExtractScalar: ("#>>", "VARCHAR"),
}


class Reads(Protocol):
    """Binds the parts of an expression: ``reader.Reader``."""

    @property
    def scope(self) -> Scope: ...

    @property
    def place(self) -> str: ...

    def inner(self, node: exp.Expr) -> Typed: ...


def bind_form(reader: Reads, node: exp.Expr) -> Typed | None:
    """Bind what is here; None for anything else. Raises the errors of ``bind_query``."""
    binder = _BINDERS.get(type(node))
    return None if binder is None else binder(reader, node)


def _apply(reader: Reads, node: exp.Expr, name: str, arguments: Sequence[Expression], gives: str) -> Typed:
    return Typed(Apply(name, tuple(arguments), mark(reader.scope.source, node)), gives)


def chain(node: exp.Expr) -> list[exp.Expr]:
    """The operands of ``a AND b AND c``, which parses as a left-deep tree; in order, without recursion."""
    kind, found = type(node), []
    while type(node) is kind:
        found.append(node.args["expression"])
        node = node.this
    return [node, *reversed(found)]


def _truths(reader: Reads, node: exp.Expr) -> Typed:
    name = _TRUTHS[type(node)]
    nodes = [node.this] if isinstance(node, exp.Not) else chain(node)
    found = [reader.inner(one) for one in nodes]
    for one, at in zip(found, nodes, strict=True):
        check(reader.scope.source, one, "a condition", at, name.upper())
    return _apply(reader, node, name, [one.expression for one in found], "BOOL")


def _alike(
    reader: Reads, nodes: Sequence[exp.Expr], what: str, kind: str = ""
) -> tuple[list[Expression], str]:
    """Expressions made of one type, and it. Each is of a kind, where one is given."""
    found = [reader.inner(one) for one in nodes]
    for one, at in zip(found, nodes, strict=True):
        check(reader.scope.source, one, kind, at, what)
    gives = common(reader.scope.source, found, nodes, what)
    return [turned(one, gives) for one in found], gives


def _compare(reader: Reads, node: exp.Expr) -> Typed:
    nodes = [node.this, node.args["expression"]]
    if isinstance(nodes[1], (exp.Any, exp.All)):
        raise reader.scope.source.not_supported(f"ANY or ALL in {reader.place}", node, "Write IN (…).")
    name = _COMPARED[type(node)]
    # Whole numbers stay whole here: Python compares them with others exactly.
    found = [reader.inner(one) for one in nodes]
    for one, at in zip(found, nodes, strict=True):
        check(reader.scope.source, one, _PLAIN, at, name.upper())
    common(reader.scope.source, found, nodes, name.upper())
    return _apply(reader, node, name, [one.expression for one in found], "BOOL")


def _between(reader: Reads, node: exp.Expr) -> Typed:
    if stray_parts(node, ("this", "low", "high")):
        raise reader.scope.source.not_supported("BETWEEN SYMMETRIC", node, "Write the lower bound first.")
    value, low, high = _alike(reader, [node.this, node.args["low"], node.args["high"]], "BETWEEN", _PLAIN)[0]
    place = mark(reader.scope.source, node)
    return Typed(Apply("and", (Apply(">=", (value, low), place), Apply("<=", (value, high), place))), "BOOL")


def _in(reader: Reads, node: exp.Expr) -> Typed:
    if not node.expressions or stray_parts(node, ("this", "expressions")):
        raise reader.scope.source.not_supported("IN with anything but a list", node, "Write IN (1, 2).")
    return _apply(reader, node, "in", _alike(reader, [node.this, *node.expressions], "IN", _PLAIN)[0], "BOOL")


def _is(reader: Reads, node: exp.Expr) -> Typed:
    expected = node.args["expression"]
    found = reader.inner(node.this)
    if isinstance(expected, exp.Null):
        made = _apply(reader, node, "is null", [found.expression], "BOOL")
    elif isinstance(expected, exp.Boolean):
        check(reader.scope.source, found, "a condition", node.this, "IS TRUE")
        made = _apply(reader, node, "is", [found.expression, Constant(bool(expected.this))], "BOOL")
    else:
        raise reader.scope.source.not_supported("IS with anything but NULL, TRUE and FALSE", node, "Write =.")
    return _apply(reader, node, "not", [made.expression], "BOOL") if node.args.get("negate") else made


def _case(reader: Reads, node: exp.Expr) -> Typed:
    source, subject = reader.scope.source, node.args.get("this")
    conditions: list[Expression] = []
    for one in node.args["ifs"]:
        if subject is not None:
            operands, _ = _alike(reader, [subject, one.this], "CASE", _PLAIN)
            conditions.append(Apply("=", tuple(operands), mark(source, one)))
            continue
        when = reader.inner(one.this)
        check(source, when, "a condition", one.this, "WHEN")
        conditions.append(when.expression)
    default = node.args.get("default")
    nodes = [one.args["true"] for one in node.args["ifs"]] + ([default] if default is not None else [])
    values, gives = _alike(reader, nodes, "CASE")
    pairs = [part for pair in zip(conditions, values, strict=False) for part in pair]
    last = values[-1] if default is not None else Constant(None)
    return _apply(reader, node, "case", [*pairs, last], gives)


def _one_of(reader: Reads, node: exp.Expr) -> Typed:
    name = _ONE_OF[type(node)]
    if stray_parts(node, ("this", "expressions", *QUIET)):
        raise reader.scope.source.not_supported(f"{words(node)} in {reader.place}", node, "Write its values.")
    kind = "" if name == "coalesce" else _PLAIN
    values, gives = _alike(reader, [node.this, *node.expressions], name.upper(), kind)
    return _apply(reader, node, name, values, gives)


def _nullif(reader: Reads, node: exp.Expr) -> Typed:
    nodes = [node.this, node.args["expression"]]
    found = [reader.inner(one) for one in nodes]
    for one, at in zip(found, nodes, strict=True):
        check(reader.scope.source, one, _PLAIN, at, "NULLIF")
    common(reader.scope.source, found, nodes, "NULLIF")
    return _apply(reader, node, "nullif", [one.expression for one in found], found[0].type)


def _cast(reader: Reads, node: exp.Expr) -> Typed:
    source, to = reader.scope.source, node.args["to"]
    into = CASTS.get(to.this) if isinstance(to, exp.DataType) else None
    length = to.expressions if into is not None and to.this == exp.DType.VARCHAR else []
    parts = stray_parts(to, ("this", "nested", *(["expressions"] if length else []))) if into else []
    if into is None or parts or stray_parts(node, ("this", "to", *QUIET)):
        raise source.not_supported(
            f"a cast to {to.sql('postgres')[:40]}",
            node,
            "Cast to smallint, int, bigint, real, float, text, varchar(n) or boolean.",
        )
    found = reader.inner(node.this)
    kind = "a JSON value" if found.type == "JSON" else _PLAIN
    if found.type == "FLOAT_VECTOR" and into[0] == "text":
        kind = ""
    check(source, found, kind, node.this, "a cast")
    if {found.type, into[1]} in ({"FLOAT", "BOOL"}, {"DOUBLE", "BOOL"}):
        raise source.type_mismatch("a number with a fraction is no boolean", found.type, node, "Write <> 0.")
    name = "real text" if found.type == "FLOAT" and into[0] == "text" else into[0]
    made = _apply(reader, node, name, [found.expression], into[1])
    if length:
        most = reader.scope.constant(length[0].this)
        made = _apply(reader, node, "left", [made.expression, Constant(most)], "VARCHAR")
    return made


def _joined(reader: Reads, node: exp.Expr) -> Typed:
    nodes = chain(node)
    found = [reader.inner(one) for one in nodes]
    for one, at in zip(found, nodes, strict=True):
        check(reader.scope.source, one, _PLAIN, at, "||")
    if not any(one.type in (*STRINGS, NULL) for one in found[:2]):
        raise reader.scope.source.type_mismatch(
            "|| joins texts", found[0].type, node, "Cast one with ::text."
        )
    return _apply(reader, node, "||", [_as_text(one) for one in found], "VARCHAR")


def _as_text(typed: Typed) -> Expression:
    if typed.type in (*STRINGS, NULL):
        return typed.expression
    return Apply("real text" if typed.type == "FLOAT" else "text", (typed.expression,))


def _concat(reader: Reads, node: exp.Expr) -> Typed:
    if stray_parts(node, ("expressions", *QUIET)):
        raise reader.scope.source.not_supported(f"{words(node)} in {reader.place}", node, "Write ||.")
    found = [reader.inner(one) for one in node.expressions]
    for one, at in zip(found, node.expressions, strict=True):
        check(reader.scope.source, one, _PLAIN, at, "concat")
    name = "concat_ws" if isinstance(node, exp.ConcatWs) else "concat"
    if name == "concat_ws":
        check(reader.scope.source, found[0], "a text", node.expressions[0], name)
    # In concat() a boolean is t or f, as PostgreSQL's output has it; as a text it is true or false.
    short = [Apply("t or f", (one.expression,)) if one.type == "BOOL" else _as_text(one) for one in found]
    return _apply(reader, node, name, short, "VARCHAR")


def _element(reader: Reads, node: exp.Expr) -> Typed:
    source = reader.scope.source
    if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
        raise source.not_supported("a slice of an array", node, "Name one element: tags[1].")
    found, at = reader.inner(node.this), reader.inner(node.expressions[0])
    check(source, found, "an array", node.this, "[…]")
    check(source, at, "a whole number", node.expressions[0], "[…]")
    return _apply(reader, node, "element", [found.expression, at.expression], found.element or "ANY")


def _json(reader: Reads, node: exp.Expr) -> Typed:
    source, (name, gives) = reader.scope.source, _JSON[type(node)]
    found = reader.inner(node.this)
    check(source, found, "a JSON value", node.this, name)
    path = node.args["expression"]
    steps = path.expressions[1:] if isinstance(path, exp.JSONPath) else []
    if len(steps) == 1 and isinstance(steps[0], (exp.JSONPathKey, exp.JSONPathSubscript)):
        key = Typed(Constant(steps[0].this), "VARCHAR" if isinstance(steps[0].this, str) else "INT64")
    else:
        key = reader.inner(path)
        check(source, key, "a text" if "#" in name else _PLAIN, path, name)
    return _apply(reader, node, name, [found.expression, key.expression], gives)


_BINDERS: dict[type[exp.Expr], Callable[[Reads, exp.Expr], Typed]] = {
    **dict.fromkeys(_COMPARED, _compare),
    **dict.fromkeys(_JSON, _json),
    **dict.fromkeys(_TRUTHS, _truths),
    **dict.fromkeys(_ONE_OF, _one_of),
    **dict.fromkeys((exp.Concat, exp.ConcatWs), _concat),
    exp.Between: _between,
    exp.In: _in,
    exp.Is: _is,
    exp.Case: _case,
    exp.Nullif: _nullif,
    exp.Cast: _cast,
    exp.DPipe: _joined,
    exp.Bracket: _element,
}
