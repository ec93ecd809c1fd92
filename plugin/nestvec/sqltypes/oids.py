"""The types that results and parameters have: names and ids of PostgreSQL, and pgvector's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VECTOR_SCHEMA_OIDS: Final = 16385
"""The first id of pgvector's types: in PostgreSQL they get theirs when the extension is created."""


@dataclass(frozen=True)
class PgType:
    """One type."""

    name: str
    oid: int
    size: int
    """Bytes of a value; -1 if they vary."""
    array: int = 0
    """The id of the type of arrays of it; 0 if there is none."""
    element: int = 0
    """The id of the type of the elements; 0 for a type that is not an array."""


_SCALARS: Final = (
    PgType("bool", 16, 1, 1000),
    PgType("bytea", 17, -1, 1001),
    PgType("char", 18, 1, 1002),
    PgType("name", 19, 64, 1003),
    PgType("int8", 20, 8, 1016),
    PgType("int2", 21, 2, 1005),
    PgType("int4", 23, 4, 1007),
    PgType("regproc", 24, 4, 1008),
    PgType("text", 25, -1, 1009),
    PgType("oid", 26, 4, 1028),
    PgType("xid", 28, 4, 1011),
    PgType("json", 114, -1, 199),
    PgType("pg_node_tree", 194, -1),
    PgType("float4", 700, 4, 1021),
    PgType("float8", 701, 8, 1022),
    PgType("unknown", 705, -2),
    PgType("bpchar", 1042, -1, 1014),
    PgType("varchar", 1043, -1, 1015),
    PgType("date", 1082, 4, 1182),
    PgType("time", 1083, 8, 1183),
    PgType("timestamp", 1114, 8, 1115),
    PgType("timestamptz", 1184, 8, 1185),
    PgType("interval", 1186, 16, 1187),
    PgType("bit", 1560, -1, 1561),
    PgType("varbit", 1562, -1, 1563),
    PgType("numeric", 1700, -1, 1231),
    PgType("regclass", 2205, 4, 2210),
    PgType("regtype", 2206, 4, 2211),
    PgType("void", 2278, 4),
    PgType("uuid", 2950, 16, 2951),
    PgType("jsonb", 3802, -1, 3807),
    PgType("regnamespace", 4089, 4, 4090),
    PgType("vector", VECTOR_SCHEMA_OIDS, -1, VECTOR_SCHEMA_OIDS + 1),
    PgType("halfvec", VECTOR_SCHEMA_OIDS + 2, -1, VECTOR_SCHEMA_OIDS + 3),
    PgType("sparsevec", VECTOR_SCHEMA_OIDS + 4, -1, VECTOR_SCHEMA_OIDS + 5),
    PgType("bfloat16_vector", VECTOR_SCHEMA_OIDS + 6, -1, VECTOR_SCHEMA_OIDS + 7),
)
_ARRAYS: Final = tuple(
    PgType(f"_{type_.name}", type_.array, -1, element=type_.oid) for type_ in _SCALARS if type_.array
)
_INT_VECTORS: Final = (PgType("int2vector", 22, -1, 1006, 21), PgType("oidvector", 30, -1, 1013, 26))

BY_OID: Final = {type_.oid: type_ for type_ in (*_SCALARS, *_ARRAYS, *_INT_VECTORS)}
BY_NAME: Final = {type_.name: type_ for type_ in BY_OID.values()}

UNSPECIFIED: Final = 0


def oid_of(name: str) -> int:
    """The id of a type by PostgreSQL's name for it: ``int4``, ``_text``."""
    return BY_NAME[name].oid


BOOL: Final = oid_of("bool")
BYTEA: Final = oid_of("bytea")
INT2: Final = oid_of("int2")
INT4: Final = oid_of("int4")
INT8: Final = oid_of("int8")
OID: Final = oid_of("oid")
FLOAT4: Final = oid_of("float4")
FLOAT8: Final = oid_of("float8")
NUMERIC: Final = oid_of("numeric")
TEXT: Final = oid_of("text")
VARCHAR: Final = oid_of("varchar")
BPCHAR: Final = oid_of("bpchar")
JSON: Final = oid_of("json")
JSONB: Final = oid_of("jsonb")
DATE: Final = oid_of("date")
TIME: Final = oid_of("time")
INTERVAL: Final = oid_of("interval")
TIMESTAMP: Final = oid_of("timestamp")
TIMESTAMPTZ: Final = oid_of("timestamptz")
UUID: Final = oid_of("uuid")
BIT: Final = oid_of("bit")
VARBIT: Final = oid_of("varbit")
VECTOR: Final = oid_of("vector")
HALFVEC: Final = oid_of("halfvec")
SPARSEVEC: Final = oid_of("sparsevec")
BFLOAT16_VECTOR: Final = oid_of("bfloat16_vector")
DENSE_VECTORS: Final = (VECTOR, HALFVEC, BFLOAT16_VECTOR)

INTEGERS: Final = frozenset(
    map(oid_of, ("int2", "int4", "int8", "oid", "xid", "regproc", "regclass", "regtype", "regnamespace"))
)
INTEGER_SIZES: Final = {oid: BY_OID[oid].size for oid in INTEGERS}
UNSIGNED: Final = INTEGERS - {INT2, INT4, INT8}
TEXTS: Final = frozenset(
    map(oid_of, ("text", "varchar", "bpchar", "name", "unknown", "char", "pg_node_tree"))
)


def element_of(oid: int) -> int:
    """The type of an array's elements; 0 for a type that is not an array."""
    type_ = BY_OID.get(oid)
    return type_.element if type_ is not None else 0


def array_of(oid: int) -> int:
    """The type of arrays of this type; text[] if there is none."""
    type_ = BY_OID.get(oid)
    return type_.array if type_ is not None and type_.array else oid_of("_text")


def size_of(oid: int) -> int:
    """Bytes of a value, as RowDescription says it."""
    type_ = BY_OID.get(oid)
    return type_.size if type_ is not None else -1
