"""Functions of texts."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, Rule, call, kind


def substring(node: exp.Substring) -> exp.Expr:
    start, length = node.args.get("start"), node.args.get("length")
    plain = length is None or _is_positive(length)
    if start is None or kind(node.this) not in (None, *TEXT_TYPES) or (_is_positive(start) and plain):
        return node
    return call("pg_substring", node.this, start, *([length] if length is not None else []))


def _is_positive(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.name.isdecimal() and int(node.name) > 0


def renamed(name: str) -> Rule:
    return lambda node: call(name, *node.expressions)


def _pad(name: str) -> Rule:
    def padded(node: Any) -> exp.Expr:
        fill = node.args.get("fill_pattern") or exp.Literal.string(" ")
        return call(name, node.this, node.expression, fill)

    return padded


def pad(node: exp.Pad) -> exp.Expr:
    return _pad("lpad" if node.args.get("is_left") else "rpad")(node)


def rewrite_concat(node: exp.Expr) -> exp.Expr:
    """In concat() a boolean is t or f."""
    for item in node.expressions:
        inner = item.this if isinstance(item, (exp.Coalesce, exp.Cast)) else item
        if kind(inner) == exp.DType.BOOLEAN:
            case = exp.Case(ifs=[exp.If(this=inner.copy(), true=exp.Literal.string("t"))])
            case.append("ifs", exp.If(this=exp.Not(this=inner.copy()), true=exp.Literal.string("f")))
            inner.replace(case)
    return node


def split_part(node: exp.SplitPart) -> exp.Expr:
    if "part_index" not in node.args:
        return node
    return call("pg_split_part", node.this, node.args["delimiter"], node.args["part_index"])
