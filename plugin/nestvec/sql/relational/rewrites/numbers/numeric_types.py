"""Which expressions are NUMERIC in PostgreSQL, where sqlglot takes roots and powers for doubles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.rewrites.nodes import (
    FLOAT_TYPES,
    INTEGERS,
    anonymous_name,
    is_text_constant,
    kind,
)

NUMERIC: Final = exp.DType.DECIMAL

ARITHMETIC: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
CHOICES: Final = (exp.Case, exp.Coalesce, exp.Greatest, exp.Least, exp.Nullif)
_OF_ONE: Final = (exp.Floor, exp.Ceil, exp.Sign, exp.Sqrt, exp.Exp, exp.Ln)
"""Of a NUMERIC they are NUMERIC, of other numbers doubles."""

_CALLS: Final = {"TRIM_SCALE": "trim_scale", "GCD": "gcd", "LCM": "lcm"}
"""Functions that sqlglot does not know, with the names of their operations."""

_MAX_BIGINT: Final = (1 << 63) - 1
_MAX_DEPTH: Final = 50
"""Levels of operations, beyond which the type is sqlglot's."""


def number_type(node: exp.Expr, depth: int = 0) -> Any:
    """The type of a number in PostgreSQL; another type, or None, for what is none or is not known."""
    node = without_parens(node)
    if depth > _MAX_DEPTH:
        return kind(node)
    deeper = depth + 1
    if isinstance(node, exp.Literal) and not node.is_string and node.is_int:
        return NUMERIC if int(node.name) > _MAX_BIGINT else exp.DType.INT
    if isinstance(node, exp.Neg) and isinstance(node.this.unnest(), exp.Literal):
        # -9223372036854775808 is a BIGINT.
        return NUMERIC if kind(node.this) == NUMERIC and kind(node) not in INTEGERS else exp.DType.INT
    if isinstance(node, (exp.Neg, exp.Abs)):
        return number_type(node.this, deeper)
    if isinstance(node, (exp.Round, exp.Trunc)):
        exact = (NUMERIC, exp.DType.INT) if node.args.get("decimals") else (NUMERIC,)
        return _numeric_if(number_type(node.this, deeper) in exact)
    if isinstance(node, _OF_ONE) or (isinstance(node, exp.Log) and node.expression is None):
        return _numeric_if(number_type(node.this, deeper) == NUMERIC)
    if isinstance(node, exp.Log) and (node.meta.get("call") or ("",))[0] == "log10":
        return _numeric_if(number_type(node.expression, deeper) == NUMERIC)
    if isinstance(node, (exp.IntDiv, exp.Log)):
        return NUMERIC
    if isinstance(node, exp.Pow):
        return _numeric_if(common_type((node.this, node.expression), deeper) == NUMERIC)
    if isinstance(node, ARITHMETIC):
        return common_type((node.this, node.expression), deeper) or kind(node)
    if isinstance(node, CHOICES):
        return common_type(chosen(node), deeper) or kind(node)
    if isinstance(node, exp.WithinGroup) and (number := ordered_number(node)) is not None:
        return exp.DType.ARRAY if gives_array(node) else number_type(number, deeper)
    type_ = kind(node)
    return exp.DType.INT if type_ in INTEGERS else type_


def called_operation(node: exp.Expr) -> str:
    """The operation of a function that sqlglot does not know, where it gives a NUMERIC; empty for others."""
    return _CALLS.get(anonymous_name(node), "") if kind(node) == NUMERIC else ""


def ordered_number(aggregate: exp.WithinGroup) -> exp.Expr | None:
    """What an aggregate orders, of which it gives one or some; None for another aggregate."""
    keys = aggregate.expression.expressions
    is_chosen = isinstance(aggregate.this, (exp.PercentileDisc, exp.Mode)) and len(keys) == 1
    number = keys[0].this if is_chosen else None
    return number if isinstance(number, exp.Expr) else None


def gives_array(aggregate: exp.WithinGroup) -> bool:
    """Whether an aggregate has an array of fractions, and gives one of numbers."""
    fraction = aggregate.this.this
    return isinstance(fraction, exp.Expr) and kind(fraction) == exp.DType.ARRAY


def chosen(node: exp.Expr) -> list[exp.Expr]:
    """The values of which CASE, coalesce() and their like give one."""
    if isinstance(node, exp.Case):
        values = [*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")]
    else:
        values = [node.this, node.args.get("expression"), *node.expressions]
    return [value for value in values if isinstance(value, exp.Expr)]


def _numeric_if(exact: bool) -> Any:
    return NUMERIC if exact else exp.DType.DOUBLE


def common_type(values: Iterable[exp.Expr], depth: int = 0) -> Any:
    """The type of numbers beside each other; None where one is no number."""
    untyped = (value for value in values if not is_text_constant(value.unnest()))
    types = {number_type(value, depth) for value in untyped if not isinstance(value.unnest(), exp.Null)}
    if not types or not types <= {NUMERIC, exp.DType.INT, *FLOAT_TYPES}:
        return None
    if types & FLOAT_TYPES:
        return exp.DType.FLOAT if types == {exp.DType.FLOAT} else exp.DType.DOUBLE
    return NUMERIC if NUMERIC in types else exp.DType.INT
