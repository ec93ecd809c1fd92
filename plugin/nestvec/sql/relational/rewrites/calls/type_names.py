"""``pg_typeof()``: the type of an expression, which is known before a statement runs."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.parse.function_types import CALL, function_results
from nestvec.sql.parse.vectors.kinds import vector_kind
from nestvec.sql.relational.rewrites.nodes import kind
from nestvec_schemas.errors import SqlNotSupported

_NAMES: Final = {
    exp.DType.BOOLEAN: "boolean",
    exp.DType.SMALLINT: "smallint",
    exp.DType.INT: "integer",
    exp.DType.BIGINT: "bigint",
    exp.DType.FLOAT: "real",
    exp.DType.DOUBLE: "double precision",
    exp.DType.DECIMAL: "numeric",
    exp.DType.TEXT: "text",
    exp.DType.DATE: "date",
    exp.DType.TIME: "time without time zone",
    exp.DType.TIMESTAMP: "timestamp without time zone",
    exp.DType.TIMESTAMPTZ: "timestamp with time zone",
    exp.DType.INTERVAL: "interval",
    exp.DType.UUID: "uuid",
    exp.DType.VARBINARY: "bytea",
    exp.DType.JSON: "json",
    exp.DType.JSONB: "jsonb",
    exp.DType.BIT: "bit",
}


_TYPE_NAME: Final = "type_name"


def note_type(node: exp.Anonymous) -> None:
    """Keep the type of the argument of ``pg_typeof()`` in the typed tree: rules change what is in it."""
    value = node.expressions[0].unnest()
    is_untyped = isinstance(value, exp.Null) or (isinstance(value, exp.Literal) and value.is_string)
    node.meta[_TYPE_NAME] = "unknown" if is_untyped else _name(value, value.type)


def type_name(node: exp.Anonymous) -> exp.Expr:
    """``pg_typeof(x)`` as a text. Raises SqlNotSupported where the type is not known."""
    name = node.meta.get(_TYPE_NAME)
    if name is None:
        raise SqlNotSupported(
            "pg_typeof() of an expression of this type is not supported",
            next_step="DESCRIBE lists the types of columns.",
        )
    return exp.cast(exp.Literal.string(name), "text")


def _name(value: exp.Expr, type_: exp.DataType | None) -> str | None:
    if vector_kind(value):
        return vector_kind(value)
    if type_ is not None and type_.this == exp.DType.ARRAY:
        element = type_.expressions[0] if type_.expressions else None
        name = _NAMES.get(element.this) if isinstance(element, exp.DataType) else None
        return name and f"{name}[]"
    if isinstance(value, exp.CurrentTimestamp):
        return "timestamp with time zone"
    if kind(value) == exp.DType.VARCHAR and isinstance(value, exp.Cast):
        return "character varying"
    called, _ = value.meta.get(CALL) or ("", 0)
    if function_results().get(called) in ("text", "uuid"):
        return str(function_results()[called])
    # VARCHAR of a column is also what TEXT is stored as.
    return _NAMES.get(kind(value))
