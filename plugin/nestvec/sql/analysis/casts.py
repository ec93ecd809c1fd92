"""The types that casts name."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sqltypes import oids

_CASTS: Final = {
    exp.DType.BOOLEAN: oids.BOOL,
    exp.DType.SMALLINT: oids.INT2,
    exp.DType.INT: oids.INT4,
    exp.DType.BIGINT: oids.INT8,
    exp.DType.FLOAT: oids.FLOAT4,
    exp.DType.DOUBLE: oids.FLOAT8,
    exp.DType.DECIMAL: oids.NUMERIC,
    exp.DType.TEXT: oids.TEXT,
    exp.DType.VARCHAR: oids.VARCHAR,
    exp.DType.CHAR: oids.BPCHAR,
    exp.DType.BPCHAR: oids.BPCHAR,
    exp.DType.NAME: oids.oid_of("name"),
    exp.DType.JSON: oids.JSON,
    exp.DType.JSONB: oids.JSONB,
    exp.DType.DATE: oids.DATE,
    exp.DType.TIME: oids.TIME,
    exp.DType.INTERVAL: oids.INTERVAL,
    exp.DType.TIMESTAMP: oids.TIMESTAMP,
    exp.DType.TIMESTAMPNTZ: oids.TIMESTAMP,
    exp.DType.TIMESTAMPTZ: oids.TIMESTAMPTZ,
    exp.DType.UUID: oids.UUID,
    exp.DType.VARBINARY: oids.BYTEA,
    exp.DType.VECTOR: oids.VECTOR,
    exp.DType.BIT: oids.BIT,
}


def cast_oid(node: exp.Expr | None) -> int:
    """The type of a cast's target; text for one that is not known here."""
    if isinstance(node, exp.ObjectIdentifier):
        return oids.OID if node.name.upper() == "OID" else oids.TEXT  # the name of a relation, or of a type
    if isinstance(node, exp.DataType) and node.this == exp.DType.ARRAY and node.expressions:
        return oids.array_of(cast_oid(node.expressions[0]))
    return known_oid(node) or oids.TEXT


def known_oid(node: exp.Expr | None) -> int:
    """The type of a cast's target; 0 for one that is not known here."""
    if not isinstance(node, exp.DataType):
        return 0
    if node.this == exp.DType.ARRAY and node.expressions:
        element = oids.BY_OID.get(known_oid(node.expressions[0]))
        return 0 if element is None else element.array
    name = str(node.args.get("kind") or "").lower().rpartition(".")[2].strip('"')
    named = oids.BY_NAME.get(name)
    return named.oid if named is not None else _CASTS.get(node.this, 0)
