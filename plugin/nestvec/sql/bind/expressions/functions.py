"""The functions and operators of expressions: a row for each, by sqlglot's class or PostgreSQL's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import exp

_BOTH: Final = ("this", "expression")
_NUMBER: Final = "a number"
_INTEGER: Final = "an integer"
_STRING: Final = "a string"

NUMBER: Final = "NUMBER"
"""A return type: integer for integer arguments, else double."""


@dataclass(frozen=True)
class Function:
    """A function or operator: its name in ``execute.evaluate``, its signature, and its sqlglot node."""

    name: str
    argument_kinds: tuple[str, ...]
    """A kind for each argument: see ``typing.KINDS``."""
    return_type: str
    argument_parts: tuple[str, ...] = ("this",)
    """The parts of the sqlglot node that hold the arguments."""
    optional: int = 0
    """How many of the last arguments may be absent."""
    ignored_parts: tuple[str, ...] = ()
    """Other parts of the node, which have no meaning here."""


_SUBSTRING: Final = ("this", "start", "length")
_SPLIT: Final = ("this", "delimiter", "part_index")

BY_CLASS: Final[dict[type[exp.Expr], Function]] = {
    exp.Add: Function("+", (_NUMBER, _NUMBER), NUMBER, _BOTH),
    exp.Sub: Function("-", (_NUMBER, _NUMBER), NUMBER, _BOTH),
    exp.Mul: Function("*", (_NUMBER, _NUMBER), NUMBER, _BOTH),
    exp.Div: Function("/", (_NUMBER, _NUMBER), NUMBER, _BOTH, ignored_parts=("typed", "safe")),
    exp.Mod: Function("%", (_NUMBER, _NUMBER), NUMBER, _BOTH),
    exp.IntDiv: Function("div", (_NUMBER, _NUMBER), NUMBER, _BOTH),
    exp.Neg: Function("negative", (_NUMBER,), NUMBER),
    exp.Abs: Function("abs", (_NUMBER,), NUMBER),
    exp.Sign: Function("sign", (_NUMBER,), "DOUBLE"),
    exp.Round: Function("round", (_NUMBER, _INTEGER), "DOUBLE", ("this", "decimals"), 1),
    exp.Trunc: Function("trunc", (_NUMBER, _INTEGER), "DOUBLE", ("this", "decimals"), 1),
    exp.Floor: Function("floor", (_NUMBER,), "DOUBLE"),
    exp.Ceil: Function("ceil", (_NUMBER,), "DOUBLE"),
    exp.Sqrt: Function("sqrt", (_NUMBER,), "DOUBLE"),
    exp.Pow: Function("power", (_NUMBER, _NUMBER), "DOUBLE", _BOTH),
    exp.Exp: Function("exp", (_NUMBER,), "DOUBLE"),
    exp.Ln: Function("ln", (_NUMBER,), "DOUBLE"),
    exp.Log: Function("log", (_NUMBER, _NUMBER), "DOUBLE", _BOTH, 1),
    exp.Lower: Function("lower", (_STRING,), "VARCHAR"),
    exp.Upper: Function("upper", (_STRING,), "VARCHAR"),
    exp.Length: Function("length", (_STRING,), "INT64"),
    exp.Reverse: Function("reverse", (_STRING,), "VARCHAR"),
    exp.Substring: Function("substring", (_STRING, _INTEGER, _INTEGER), "VARCHAR", _SUBSTRING, 1),
    exp.Left: Function("left", (_STRING, _INTEGER), "VARCHAR", _BOTH),
    exp.Right: Function("right", (_STRING, _INTEGER), "VARCHAR", _BOTH),
    exp.Replace: Function("replace", (_STRING, _STRING, _STRING), "VARCHAR", (*_BOTH, "replacement")),
    exp.StrPosition: Function("strpos", (_STRING, _STRING), "INT64", ("this", "substr")),
    exp.SplitPart: Function("split_part", (_STRING, _STRING, _INTEGER), "VARCHAR", _SPLIT),
    exp.StartsWith: Function("starts_with", (_STRING, _STRING), "BOOL", _BOTH),
    exp.Like: Function("like", (_STRING, _STRING), "BOOL", _BOTH),
    exp.ILike: Function("ilike", (_STRING, _STRING), "BOOL", _BOTH),
    exp.ArraySize: Function("array_length", ("an array", _INTEGER), "INT64", _BOTH),
}

BY_NAME: Final[dict[str, Function]] = {
    "cardinality": Function("cardinality", ("an array",), "INT64"),
    "l2_norm": Function("l2_norm", ("a vector",), "DOUBLE"),
    "vector_dims": Function("vector_dims", ("a vector",), "INT64"),
    "subvector": Function("subvector", ("a vector", _INTEGER, _INTEGER), "FLOAT_VECTOR"),
}
"""Functions without a sqlglot class, by name in lower case."""

TRIMS: Final[dict[str, Function]] = {
    position: Function(name, (_STRING, _STRING), "VARCHAR", _BOTH, optional=1, ignored_parts=("position",))
    for position, name in (("", "btrim"), ("BOTH", "btrim"), ("LEADING", "ltrim"), ("TRAILING", "rtrim"))
}
"""PostgreSQL's functions for the positions of TRIM."""

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
"""Target types of casts: the name of the cast in ``execute.evaluate``, and the resulting type. Numbers with a
fraction are doubles, also where PostgreSQL has numeric."""

AGGREGATES: Final[dict[type[exp.Expr], tuple[str, str]]] = {
    exp.Count: ("count", "any value"),
    exp.Sum: ("sum", _NUMBER),
    exp.Avg: ("avg", _NUMBER),
    exp.Min: ("min", "a number, a string or a boolean"),
    exp.Max: ("max", "a number, a string or a boolean"),
}
"""Aggregates: their names in ``execute.row_operators``, and the kinds of their arguments."""

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
"""The names of all functions, for the nearest name in errors."""
