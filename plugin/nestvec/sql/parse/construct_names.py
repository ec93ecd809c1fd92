"""The names of SQL constructs, for errors that refuse them."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import SourceText

_CALL: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(")
_JSON_NODES = (exp.JSONExtract, exp.JSONExtractScalar, exp.JSONBExtract, exp.JSONBExtractScalar)

_CONSTRUCTS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((exp.Subquery, exp.Select, exp.SetOperation), "a subquery"),
    (exp.Window, "a window function"),
    (exp.Filter, "FILTER"),
    ((exp.Cast, exp.TryCast), "a cast"),
    (exp.Case, "CASE"),
    (_JSON_NODES, "a JSON operator"),
    ((exp.Parameter, exp.Placeholder, exp.SessionParameter), "a parameter"),
    (exp.JSONBPathExists, "@?, a JSON path,"),
    (exp.ILike, "ILIKE"),
    (exp.Escape, "ESCAPE"),
    ((exp.RegexpLike, exp.RegexpILike), "a regular expression"),
    (exp.SimilarTo, "SIMILAR TO"),
    (exp.Exists, "EXISTS"),
    ((exp.NullSafeEQ, exp.NullSafeNEQ), "IS DISTINCT FROM"),
    (exp.Is, "IS with anything but NULL"),
    ((exp.Any, exp.All), "ANY or ALL"),
    (exp.Array, "an array"),
    (exp.Bracket, "an array element"),
    (exp.Interval, "an interval"),
    (exp.Collate, "COLLATE"),
    (exp.DPipe, "|| (concatenation)"),
    (exp.Tuple, "a row of several values"),
    (exp.Star, "*"),
    ((exp.ByteString, exp.RawString, exp.UnicodeString, exp.National), "a string with a prefix or $ quotes"),
    ((exp.BitString,), "a bit constant"),
    (VectorDistance, "a distance"),
    (exp.Paren, "parentheses"),
    ((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Pow, exp.Neg), "arithmetic"),
    ((exp.Not, exp.Connector, exp.Predicate), "a boolean"),
    ((exp.Literal, exp.Boolean, exp.Null), "a constant"),
    (exp.Column, "a column"),
)


def construct_name(node: exp.Expr) -> str:
    """The name of a node's construct in SQL's words."""
    if isinstance(node, exp.AggFunc):
        return f"the aggregate {_sqlglot_name(node)}"
    construct = next((name for kinds, name in _CONSTRUCTS if isinstance(node, kinds)), None)
    if construct:
        return construct
    return f"the function {_sqlglot_name(node)}" if isinstance(node, exp.Func) else "this expression"


def _sqlglot_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return f"{str(node.this)[:40]}()"
    names = node.sql_names() if isinstance(node, exp.Func) else []
    return f"{names[0] if names else node.key.upper()}()"


def function_name(source: SourceText, node: exp.Expr) -> str:
    """The name of the function that ``node`` calls, as the statement writes it; empty for other nodes."""
    start = node.meta.get("start")
    # a % 2 and mod(a, 2) are the same node, but only the call has a position.
    match = _CALL.match(source.text, start) if start is not None else None
    if match is None:
        return ""
    if isinstance(node, exp.Trim):
        return {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position")), "btrim")
    return match[1].lower()
