"""Operators and functions that pgvector does not have of vectors."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.parse.function_types import CALL
from nestvec.sql.parse.source import SourceText
from nestvec.sql.parse.vectors.kinds import vector_kind
from nestvec.sql.relational.names import function_label
from nestvec.sql.relational.rewrites.nodes import kind as kind_of_node

_OPERATORS: Final[dict[type[exp.Expr], str]] = {
    exp.Div: "/", exp.Mod: "%", exp.Pow: "^", exp.Like: "LIKE", exp.ILike: "ILIKE", exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|", exp.BitwiseXor: "#", exp.BitwiseLeftShift: "<<", exp.BitwiseRightShift: ">>",
    exp.RegexpLike: "~", exp.RegexpILike: "~*",
}  # fmt: skip
_PREFIXES: Final[dict[type[exp.Expr], str]] = {exp.Neg: "-", exp.BitwiseNot: "~"}
_FUNCTIONS: Final = (
    exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.Trunc, exp.Sqrt, exp.Cbrt, exp.Exp, exp.Ln, exp.Log,
    exp.Sign, exp.Min, exp.Max, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop,
    exp.Median, exp.Upper, exp.Lower, exp.Reverse, exp.Initcap, exp.Trim, exp.Substring, exp.Length,
    exp.Repeat, exp.Pad,
    exp.LogicalAnd, exp.LogicalOr, exp.BitwiseAndAgg, exp.BitwiseOrAgg, exp.GroupConcat, exp.StartsWith,
    exp.Degrees, exp.Radians,
)  # fmt: skip
_OF_BOOLEANS: Final = (exp.And, exp.Or, exp.Not, exp.Where, exp.Having)
_INSTEAD: Final = {
    "/": "Multiply by a vector, or write l2_normalize(v).",
    "-": "Subtract the vector from a vector of zeros.",
}


def check_vector(source: SourceText, node: exp.Expr) -> None:
    """Raise SqlTypeMismatch for an operator or a function over a vector that pgvector does not have."""
    kind = vector_kind(node.this) if isinstance(node.this, exp.Expr) else ""
    if type(node) in _OPERATORS:
        sides = [vector_kind(side) for side in (node.this, node.expression)]
        if any(sides):
            sign = _OPERATORS[type(node)]
            names = [side or _type_word(value) for side, value in zip(sides, _sides(node), strict=True)]
            raise source.type_mismatch(
                f"operator does not exist: {names[0]} {sign} {names[1]}",
                sign,
                node,
                _INSTEAD.get(sign, "Vectors have +, - and *, || and the distances."),
            )
    elif isinstance(node, _OF_BOOLEANS):
        for value in node.iter_expressions():
            if vector_kind(value):
                raise source.type_mismatch(
                    f"a boolean is expected, not {vector_kind(value)}",
                    vector_kind(value),
                    value,
                    "Compare it.",
                )
    elif kind and type(node) in _PREFIXES:
        sign = _PREFIXES[type(node)]
        raise source.type_mismatch(
            f"operator does not exist: {sign} {kind}", sign, node, _INSTEAD.get(sign, "Write v - w.")
        )
    elif kind and isinstance(node, _FUNCTIONS):
        called, _ = node.meta.get(CALL) or (function_label(node).lower(), 0)
        raise source.type_mismatch(
            f"function {called}({kind}) does not exist",
            kind,
            node,
            "Write avg(v) or sum(v), or cast it: v::text.",
        )


def _sides(node: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    return node.this, node.expression


def _type_word(node: exp.Expr) -> str:
    """PostgreSQL's word for the type of an operand, or what it is."""
    return str(getattr(kind_of_node(node), "value", "unknown")).lower()
