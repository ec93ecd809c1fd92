"""LIKE with its escape character, and SIMILAR TO."""

from __future__ import annotations

import re

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import call


def rewrite_like(node: exp.Expr) -> exp.Expr:
    """PostgreSQL's escape character is the backslash; DuckDB has none unless it is named."""
    quantified = node.expression
    inner = quantified.this if isinstance(quantified, (exp.Any, exp.All)) else None
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Array):
        parts = [type(node)(this=node.this.copy(), expression=item.copy()) for item in inner.expressions]
        joined = (exp.or_ if isinstance(quantified, exp.Any) else exp.and_)(*map(rewrite_like, parts))
        return exp.paren(joined)
    if isinstance(node.parent, exp.Escape):
        return node
    if isinstance(quantified, exp.Literal) and "\\" not in quantified.name:
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


def matches(node: exp.RegexpLike | exp.RegexpILike) -> exp.Expr:
    """``~`` and ``~*``: in PostgreSQL a point stands for a line break, too."""
    flags = "is" if isinstance(node, exp.RegexpILike) else "s"
    return call("regexp_matches", node.this, node.expression, exp.Literal.string(flags))


def replaced(node: exp.RegexpReplace) -> exp.Expr:
    """regexp_replace(), for the same reason, and with the whole match as ``\\&``."""
    modifiers, replacement = node.args.get("modifiers"), node.args["replacement"]
    flags = "" if modifiers is None else modifiers.name
    if set(flags) - {"g", "i"} or not isinstance(modifiers, (exp.Literal, type(None))):
        return node
    if isinstance(replacement, exp.Literal):
        replacement = exp.Literal.string(replacement.name.replace("\\&", "\\0"))
    return call("regexp_replace", node.this, node.expression, replacement, exp.Literal.string(flags + "s"))


_WILDCARDS = {"%": ".*", "_": "."}


def similar_to(node: exp.SimilarTo) -> exp.Expr:
    """SQL's pattern as a regular expression: DuckDB's SIMILAR TO takes the latter."""
    pattern = node.expression
    if isinstance(pattern, exp.Literal):
        regex = re.sub(r"[%_.^$]", lambda match: _WILDCARDS.get(match[0], "\\" + match[0]), pattern.name)
        node.set("expression", exp.Literal.string(f"(?s){regex}"))
    return node
