"""Helpers of the rules: the types of nodes, and calls of functions of DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.parse.vectors.kinds import DENSE, vector_kind

INTEGERS = exp.DataType.INTEGER_TYPES


FLOAT_TYPES = {exp.DType.FLOAT, exp.DType.DOUBLE}


TEXT_TYPES = exp.DataType.TEXT_TYPES


JSON_TYPES = {exp.DType.JSON, exp.DType.JSONB}


DAYS_AND_MOMENTS = {exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ, exp.DType.TIMESTAMPTZ}


Rule = Callable[[Any], exp.Expr]


def anonymous_name(node: exp.Expr) -> str:
    return str(node.this).upper() if isinstance(node, exp.Anonymous) else ""


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """A call of a function of DuckDB or of a macro."""
    # In parentheses, because DuckDB takes an arrow in an argument for a lambda.
    parts = [exp.paren(part) if isinstance(part, exp.JSONExtract) else part.copy() for part in arguments]
    return exp.Anonymous(this=name, expressions=parts)


def kind(node: exp.Expr | None) -> Any:
    """The type of a node, as sqlglot names it; None if it is unknown."""
    while isinstance(node, (exp.Paren, exp.Alias)):
        node = node.this
    if isinstance(node, exp.Literal) and not node.is_string and not node.name.isdecimal():
        return exp.DType.DECIMAL
    type_ = node.type if node is not None else None
    if isinstance(node, exp.Trunc) and (type_ is None or type_.this == exp.DType.UNKNOWN):
        inner = kind(node.this)
        # There is no trunc() of REAL.
        return exp.DType.DOUBLE if inner == exp.DType.FLOAT else inner
    return None if type_ is None or type_.this in (exp.DType.UNKNOWN, exp.DType.USERDEFINED) else type_.this


def is_text_constant(node: exp.Expr) -> bool:
    """Whether a node is a constant in quotes, which has no type of its own."""
    return isinstance(node, exp.Literal) and bool(node.is_string)


_PLACES: Final = {exp.DType.FLOAT: 6, exp.DType.DOUBLE: 15}
"""Digits before the point from which PostgreSQL writes an exponent."""

_MAX_PLACES: Final = 18
"""Digits behind the point of a decimal that still has as many before it."""


def float_text(node: exp.Expr, type_: exp.DType) -> exp.Expr:
    """A REAL or a double as PostgreSQL writes it; round() and trunc() to some places are numeric there."""
    inner = node.unnest()
    if isinstance(inner, (exp.Round, exp.Trunc)):
        places, exact = inner.args.get("decimals"), kind(inner.this) == exp.DType.DECIMAL
        if places is None and exact:
            return exp.cast(node.copy(), "text")
        if places is not None and places.is_int:
            return _fixed_text(node, max(int(places.to_py()), 0), exact)
    if type_ == exp.DType.FLOAT:
        return call("pg_real_text", node)
    return call("pg_float_text", node, exp.Literal.number(_PLACES[type_]))


def value_text(node: exp.Expr) -> exp.Expr | None:
    """A number or a time as PostgreSQL writes it; None for what DuckDB writes in the same way."""
    if kind(node) in FLOAT_TYPES:
        return float_text(node, kind(node))
    if kind(node) in DAYS_AND_MOMENTS:
        return call("pg_day_text", exp.cast(node.copy(), "text"))
    return call("pg_interval_text", node) if kind(node) == exp.DType.INTERVAL else None


def _fixed_text(node: exp.Expr, places: int, exact: bool) -> exp.Expr:
    """A number with this many digits behind the point."""
    if exact and places <= _MAX_PLACES:
        return exp.cast(exp.cast(node.copy(), f"decimal(38, {places})"), "text")
    digits = call("format", exp.Literal.string(f"{{:.{places}f}}"), exp.cast(node.copy(), "double"))
    finite = exp.If(this=call("isfinite", node), true=digits)
    other = call("pg_float_text", node, exp.Literal.number(_PLACES[exp.DType.DOUBLE]))
    return exp.Case(ifs=[finite], default=other)


def is_vector(node: exp.Expr | None) -> bool:
    """Whether a node has the type of a vector whose numbers are a list."""
    return vector_kind(node) in DENSE


def outside(node: exp.Expr, wrap: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Wrap an aggregate with the FILTER or OVER around it."""
    wrapped = node
    while isinstance(wrapped.parent, (exp.Filter, exp.Window, exp.WithinGroup)) and wrapped.arg_key == "this":
        wrapped = wrapped.parent
    if wrapped is node:
        return wrap(node.copy())
    wrapped.replace(wrap(wrapped.copy()))
    return node


def _is_within(node: exp.Expr, query: exp.Expr) -> bool:
    return isinstance(node, exp.Query) and node is not query


def order_by_value(tree: exp.Select, item: exp.Expr, position: int) -> bool:
    """Write the value where ORDER BY names the item; whether nothing else names it."""
    names, listed = list[exp.Expr](), set(map(id, tree.expressions))
    # No query within names an item of the one around it.
    for node in tree.walk(prune=lambda node: id(node) in listed or _is_within(node, tree)):
        if isinstance(node, exp.Column) and not node.table and node.name == item.alias_or_name:
            names.append(node)
    order = tree.args.get("order")
    for ordered in order.expressions if order is not None else ():
        if isinstance(ordered.this, exp.Literal) and ordered.this.name == str(position):
            names.append(ordered.this)
    if not all(isinstance(name.parent, exp.Ordered) and name.parent.parent is order for name in names):
        return False
    for name in names:
        name.replace(item.unalias().copy())
    return True
