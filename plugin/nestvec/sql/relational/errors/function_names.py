"""Functions, aggregates and casts that the manual lists; the nearest is suggested in errors."""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final = (
    "abs", "sign", "round", "trunc", "floor", "ceil", "sqrt", "power", "exp", "ln", "log", "div",
    "concat", "lower", "upper", "length", "reverse", "substring", "left", "right", "replace", "strpos",
    "split_part", "starts_with", "btrim", "ltrim", "rtrim", "trim", "concat_ws",
    "coalesce", "nullif", "greatest", "least",
    "cardinality", "array_length", "l2_norm", "vector_dims", "subvector",
)  # fmt: skip

AGGREGATES: Final = ("count", "sum", "avg", "min", "max")

CASTS: Final = (
    "smallint", "int", "bigint", "real", "float", "numeric", "text", "varchar", "boolean", "date",
    "timestamp", "uuid", "jsonb",
)  # fmt: skip
