"""The nodes of sqlglot as PostgreSQL's operators, functions and constants."""

from __future__ import annotations

from typing import Any, Final

from sqlglot import exp

from nestvec.sql.analysis.signatures import UNKNOWN, UNTYPED
from nestvec.sql.bind.params import PARAMETER_NODES, parameter_name
from nestvec.sql.parse.function_types import CALL
from nestvec.sqltypes import oids

MAX_PARAMETERS: Final = 65_535

OPERATORS: Final[dict[type[exp.Expr], str]] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.Pow: "^",
    exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "#", exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>", exp.DPipe: "||", exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=",
    exp.LT: "<", exp.LTE: "<=", exp.NullSafeEQ: "=", exp.NullSafeNEQ: "=", exp.Like: "~~", exp.ILike: "~~*",
    exp.RegexpLike: "~", exp.RegexpILike: "~*", exp.JSONExtract: "->", exp.JSONExtractScalar: "->>",
    exp.JSONBExtract: "#>", exp.JSONBExtractScalar: "#>>", exp.JSONBContains: "?",
    exp.JSONBContainsTopKey: "?", exp.JSONBContainsAnyTopKeys: "?|", exp.JSONBContainsAllTopKeys: "?&",
    exp.ArrayContainsAll: "@>", exp.ArrayContainedBy: "<@", exp.ArrayOverlaps: "&&",
    exp.JSONBDeleteAtPath: "#-",
}  # fmt: skip
_NAMES: Final[dict[type[exp.Expr], str]] = {
    exp.AtTimeZone: "timezone", exp.ExplodingGenerateSeries: "generate_series", exp.Explode: "unnest",
    exp.Trim: "btrim", exp.IntDiv: "div",
}  # fmt: skip
_SHOWN: Final = {
    "bool": "boolean", "int2": "smallint", "int4": "integer", "int8": "bigint", "float4": "real",
    "float8": "double precision", "varchar": "character varying", "bpchar": "character",
    "timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone",
}  # fmt: skip
"""The names of types in errors."""
_LAST_FIRST: Final = (exp.TimestampTrunc, exp.AtTimeZone, exp.ArrayPrepend)
"""Calls of which sqlglot keeps the first argument behind the second."""


def is_named(node: exp.Expr) -> bool:
    """Whether a node calls a function in a spelling of its own."""
    return type(node) in _NAMES


def has_all_arguments(node: exp.Expr, count: int) -> bool:
    """Whether a call has the arguments that its text has: sqlglot leaves out some, and adds others."""
    if is_named(node) or isinstance(node, exp.Substring):
        return True
    call: tuple[str, int] | None = node.meta.get(CALL)
    return call is not None and call[1] == count


def type_name(oid: int) -> str:
    """PostgreSQL's short name of a type; UNTYPED for one that is not known here."""
    return oids.BY_OID[oid].name if oid in oids.BY_OID else UNTYPED


def shown_type(type_: str) -> str:
    """The name of a type in an error."""
    return f"{shown_type(type_[1:])}[]" if type_.startswith("_") else _SHOWN.get(type_, type_)


def array_name(element: str) -> str:
    """The type of arrays of these elements."""
    return f"_{element}" if f"_{element}" in oids.BY_NAME else UNTYPED


def number_of(node: Any) -> int:
    """The number of a parameter, also in parentheses; 0 for any other node."""
    node = node.unnest() if isinstance(node, exp.Paren) else node
    name = parameter_name(node) if isinstance(node, PARAMETER_NODES) else None
    number = int(name) if name is not None and name.isdecimal() and len(name) < 6 else 0
    return number if number <= MAX_PARAMETERS else 0


def quantified(node: Any) -> exp.Expr | None:
    """The array or the query of ANY and ALL; None for any other operand."""
    if isinstance(node, (exp.Any, exp.All)):
        inner = node.this
    elif isinstance(node, exp.Anonymous) and node.name.lower() in ("all", "some") and node.expressions:
        inner = node.expressions[0]
    else:
        return None
    return inner.unnest() if isinstance(inner, exp.Expr) else None


def literal_type(node: exp.Literal) -> str:
    """The type of a constant; one with a sign before it is read with its sign."""
    if node.is_string:
        return UNKNOWN
    if not node.is_int:
        return "numeric"
    number = -int(node.name) if isinstance(node.parent, exp.Neg) else int(node.name)
    return next(
        (name for name, bits in (("int4", 31), ("int8", 63)) if -1 << bits <= number < 1 << bits), "numeric"
    )


def called(node: exp.Expr) -> tuple[str, list[exp.Expr]]:
    """The name of a function and its arguments in their order."""
    arguments = list[exp.Expr]()
    for key in node.arg_types:
        part = node.args.get(key)
        arguments += [
            each for each in (part if isinstance(part, list) else [part]) if isinstance(each, exp.Expr)
        ]
    words = (exp.Var, exp.Star, exp.Order, exp.Where)
    arguments = [
        exp.Literal.string(each.name.lower()) if isinstance(each, exp.Var) else each
        for each in arguments
        if not isinstance(each, words) or (isinstance(each, exp.Var) and isinstance(node, exp.TimestampTrunc))
    ]
    if isinstance(node, exp.Order):
        arguments = []
    called = node.meta.get(CALL)
    name = _NAMES.get(type(node)) or (called[0] if called else "")
    if not name and isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
    if isinstance(node, exp.Trim):
        name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(
            str(node.args.get("position") or "").upper(), name
        )
    if isinstance(node, _LAST_FIRST):
        arguments[:2] = reversed(arguments[:2])
    return str(name).lower(), arguments
