"""The functions and operators of expressions: a row each, by sqlglot's class or PostgreSQL's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import exp

_BOTH: Final = ("this", "expression")
_N: Final = "a number"
_I: Final = "a whole number"
_T: Final = "a text"

NUMBER: Final = "NUMBER"
"""Given back: a whole number of whole numbers, else one with a fraction."""


@dataclass(frozen=True)
class Function:
    """``name`` is its name in ``run.evaluate``, ``takes`` a kind an argument (``typed.KINDS``), ``gives`` a
    type. ``parts`` are the parts of sqlglot's node that hold the arguments; the last ``optional`` of them may
    be absent. ``anything`` are parts that say nothing.
    """

    name: str
    argument_kinds: tuple[str, ...]
    return_type: str
    argument_parts: tuple[str, ...] = ("this",)
    optional: int = 0
    ignored_parts: tuple[str, ...] = ()


_SUBSTRING: Final = ("this", "start", "length")
_SPLIT: Final = ("this", "delimiter", "part_index")

BY_CLASS: Final[dict[type[exp.Expr], Function]] = {
    exp.Add: Function("+", (_N, _N), NUMBER, _BOTH),
    exp.Sub: Function("-", (_N, _N), NUMBER, _BOTH),
    exp.Mul: Function("*", (_N, _N), NUMBER, _BOTH),
    exp.Div: Function("/", (_N, _N), NUMBER, _BOTH, ignored_parts=("typed", "safe")),
    exp.Mod: Function("%", (_N, _N), NUMBER, _BOTH),
    exp.IntDiv: Function("div", (_N, _N), NUMBER, _BOTH),
    exp.Neg: Function("negative", (_N,), NUMBER),
    exp.Abs: Function("abs", (_N,), NUMBER),
    exp.Sign: Function("sign", (_N,), "DOUBLE"),
    exp.Round: Function("round", (_N, _I), "DOUBLE", ("this", "decimals"), 1),
    exp.Trunc: Function("trunc", (_N, _I), "DOUBLE", ("this", "decimals"), 1),
    exp.Floor: Function("floor", (_N,), "DOUBLE"),
    exp.Ceil: Function("ceil", (_N,), "DOUBLE"),
    exp.Sqrt: Function("sqrt", (_N,), "DOUBLE"),
    exp.Pow: Function("power", (_N, _N), "DOUBLE", _BOTH),
    exp.Exp: Function("exp", (_N,), "DOUBLE"),
    exp.Ln: Function("ln", (_N,), "DOUBLE"),
    exp.Log: Function("log", (_N, _N), "DOUBLE", _BOTH, 1),
    exp.Lower: Function("lower", (_T,), "VARCHAR"),
    exp.Upper: Function("upper", (_T,), "VARCHAR"),
    exp.Length: Function("length", (_T,), "INT64"),
    exp.Reverse: Function("reverse", (_T,), "VARCHAR"),
    exp.Substring: Function("substring", (_T, _I, _I), "VARCHAR", _SUBSTRING, 1),
    exp.Left: Function("left", (_T, _I), "VARCHAR", _BOTH),
    exp.Right: Function("right", (_T, _I), "VARCHAR", _BOTH),
    exp.Replace: Function("replace", (_T, _T, _T), "VARCHAR", (*_BOTH, "replacement")),
    exp.StrPosition: Function("strpos", (_T, _T), "INT64", ("this", "substr")),
    exp.SplitPart: Function("split_part", (_T, _T, _I), "VARCHAR", _SPLIT),
    exp.StartsWith: Function("starts_with", (_T, _T), "BOOL", _BOTH),
    exp.Like: Function("like", (_T, _T), "BOOL", _BOTH),
    exp.ILike: Function("ilike", (_T, _T), "BOOL", _BOTH),
    exp.ArraySize: Function("array_length", ("an array", _I), "INT64", _BOTH),
}

BY_NAME: Final[dict[str, Function]] = {
    "cardinality": Function("cardinality", ("an array",), "INT64"),
    "l2_norm": Function("l2_norm", ("a vector",), "DOUBLE"),
    "vector_dims": Function("vector_dims", ("a vector",), "INT64"),
    "subvector": Function("subvector", ("a vector", _I, _I), "FLOAT_VECTOR"),
}
"""Functions that sqlglot has no class for, by their names in lower case."""

TRIMS: Final[dict[str, Function]] = {
    position: Function(name, (_T, _T), "VARCHAR", _BOTH, optional=1, ignored_parts=("position",))
    for position, name in (("", "btrim"), ("BOTH", "btrim"), ("LEADING", "ltrim"), ("TRAILING", "rtrim"))
}
"""PostgreSQL's functions for TRIM's positions."""

CASTS: Final[dict[exp.DType, tuple[str, str]]] = {
    exp.DType.SMALLINT: ("smallint", "INT16"),
    exp.DType.INT: ("int", "INT32"),
    exp.DType.BIGINT: ("bigint", "INT64"),
    exp.DType.FLOAT: ("real", "FLOAT"),
    exp.DType.DOUBLE: ("float", "DOUBLE"),
    exp.DType.DECIMAL: ("float", "DOUBLE"),
    exp.DType.TEXT: ("text", "VARCHAR"),
    exp.DType.VARCHAR: ("text", "VARCHAR"),
    exp.DType.BOOLEAN: ("boolean", "BOOL"),
}
"""What a value may be cast to: the name in ``run.evaluate``, and the type of what comes. Numbers with a
fraction are doubles, also where PostgreSQL has decimals (numeric)."""

AGGREGATES: Final[dict[type[exp.Expr], tuple[str, str]]] = {
    exp.Count: ("count", "any value"),
    exp.Sum: ("sum", _N),
    exp.Avg: ("avg", _N),
    exp.Min: ("min", "a number, a text or a condition"),
    exp.Max: ("max", "a number, a text or a condition"),
}
"""Aggregates: the name in ``run.summaries``, and what they take."""

FUNCTION_NAMES: Final = tuple(
    dict.fromkeys(
        name
        for name in (
            *(function.name for function in (*BY_CLASS.values(), *BY_NAME.values(), *TRIMS.values())),
            *(name for name, _ in AGGREGATES.values()),
            *("coalesce", "nullif", "greatest", "least", "concat", "embed"),
        )
        if name.isidentifier()
    )
)
"""What functions are called, for the nearest name of one that is not there."""
