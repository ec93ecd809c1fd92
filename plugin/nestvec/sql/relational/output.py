"""Results of DuckDB as rows of a statement: Python values, and Milvus's names of their types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import duckdb
import orjson
import pyarrow as pa

from nestvec.sql.parse.vectors.kinds import SPARSE
from nestvec.sql.relational.relations import OutputTypes, RelationalPlan
from nestvec.sql.relational.results.types import as_postgres, kind_of, type_name
from nestvec.sql.result import StatementResult
from nestvec.sqltypes.documents import parse_document
from nestvec.sqltypes.intervals import Interval
from nestvec.sqltypes.kinds import BFLOAT16
from nestvec_schemas.errors import RowRejected, SqlDataError, SqlNotSupported

_TYPES: Final = {
    "BOOLEAN": "BOOL",
    "TINYINT": "INT8",
    "SMALLINT": "INT16",
    "INTEGER": "INT32",
    "BIGINT": "INT64",
    "UTINYINT": "INT16",
    "USMALLINT": "INT32",
    "UINTEGER": "INT64",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "VARCHAR": "VARCHAR",
    "JSON": "JSON",
}
"""Milvus's names of DuckDB's types; others keep DuckDB's."""

MAX_RESULT_VALUES: Final = 20_000_000
"""Values of a result, which is held in memory as Python's objects: some 2 GB of numbers."""
_BATCH_ROWS: Final = 10_000

_INTERVAL: Final = (
    "CASE WHEN {0} IS NOT NULL THEN [date_part('year', {0}) * 12 + date_part('month', {0}), "
    "date_part('day', {0}), (date_part('hour', {0}) * 60 + date_part('minute', {0})) * 60000000 + "
    "date_part('microsecond', {0})] END"
)
_FINITE: Final = (
    "CASE WHEN isfinite({0}) OR {0} IS NULL THEN {0} "
    "ELSE error('an infinite date in a result is not supported') END"
)
_CONVERTED: Final = {
    "INTERVAL": _INTERVAL,
    **dict.fromkeys(("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"), _FINITE),
}
"""What is read of values that Python does not have, or has as the last day of 9999."""

_UNCONVERTED: Final = frozenset(
    {"BIGINT", "INT", "SMALLINT", "TEXT", "VARCHAR", "BOOLEAN", "DOUBLE", "FLOAT"}
)
"""Types of PostgreSQL whose values are read as they are."""

_VECTORS: Final = {
    "vector": "FLOAT_VECTOR",
    "halfvec": "FLOAT16_VECTOR",
    BFLOAT16: "BFLOAT16_VECTOR",
}
"""Milvus's names of the types of dense vectors."""

_MAX_INT64: Final = (1 << 63) - 1


def read_result(
    connection: duckdb.DuckDBPyConnection, plan: RelationalPlan, params: Mapping[str, Any]
) -> StatementResult:
    """Run the statement of a plan. Raises errors of DuckDB; SqlDataError for JSON that cannot be read."""
    # A relation, of connection.sql(), would be bound twice, and wait for a thread of DuckDB's.
    infinite = bool(plan.reads_files or plan.postgres) or "infinity" in plan.sql
    # Where values may be converted, the types are read first, without rows: the query runs once.
    types = plan.output.postgres
    plain = len(types) == len(plan.columns) and _UNCONVERTED.issuperset(types)
    types_first = "INTERVAL" in types or (infinite and not plain)
    types_sql = f"SELECT * FROM ({plan.sql}) LIMIT 0" if types_first else plan.sql  # noqa: S608 - planned
    connection.execute(types_sql, dict(params) or None)
    kinds = [str(column[1]) for column in connection.description or ()]
    converts = "INTERVAL" in kinds or (infinite and not _CONVERTED.keys().isdisjoint(kinds))
    if converts or types_first:
        sql = _with_converted(plan.sql, kinds) if converts else plan.sql
        connection.execute(sql, dict(params) or None)
    rows = _fetch_rows(connection, len(kinds))
    columns = [_column(kind, at, [row[at] for row in rows], plan.output) for at, kind in enumerate(kinds)]
    values = tuple(zip(*(column[1] for column in columns), strict=True)) if rows else ()
    return StatementResult(
        plan.columns,
        tuple(column[0] for column in columns),
        values,
        tag=f"SELECT {len(rows)}",
        count=len(rows),
        elements={at: element for at, kind in enumerate(kinds) if (element := _element(kind))},
        names=_names(kinds, plan.output),
    )


def with_vector_sizes(table: pa.Table, types: Sequence[str]) -> pa.Table:
    """An Arrow table whose vectors have the dimensions of their types, also where there is no row."""
    for at, type_ in enumerate(types):
        name, _, size = type_.rstrip(")").partition("(")
        if name in _VECTORS and size and pa.types.is_list(table.schema.field(at).type):
            sized = table.column(at).cast(pa.list_(pa.float32(), int(size)))
            table = table.set_column(at, table.schema.field(at).name, sized)
    return table


def _names(kinds: Sequence[str], output: OutputTypes) -> dict[int, str]:
    """PostgreSQL's names of types that Milvus does not name, by their positions."""
    types = ((at, type_, kind) for at, (type_, kind) in enumerate(zip(output.postgres, kinds, strict=False)))
    return {at: name for at, type_, kind in types if (name := type_name(type_, kind))}


def _fetch_rows(connection: duckdb.DuckDBPyConnection, width: int) -> list[tuple[Any, ...]]:
    """The rows of a result, which DuckDB computes as they are read. Raises SqlNotSupported for too many."""
    rows: list[tuple[Any, ...]] = []
    most = MAX_RESULT_VALUES // max(width, 1)
    while batch := connection.fetchmany(_BATCH_ROWS):
        rows += batch
        if len(rows) > most:
            raise SqlNotSupported(
                f"a result of more than {most:,} rows is not supported", next_step="Add WHERE or LIMIT."
            )
    return rows


def _with_converted(sql: str, kinds: list[str]) -> str:
    """The statement with intervals as [months, days, microseconds], and an error for infinite dates."""
    names = [f"c{at}" for at in range(len(kinds))]
    outputs = (_CONVERTED.get(kind, "{0}").format(name) for name, kind in zip(names, kinds, strict=True))
    return f"SELECT {', '.join(outputs)} FROM ({sql}) AS result({', '.join(names)})"  # noqa: S608 - planned


def _column(kind: str, at: int, values: list[Any], output: OutputTypes) -> tuple[str, list[Any]]:
    """The type of a column and its values."""
    decimals = output.decimals
    postgres = output.postgres[at] if at < len(output.postgres) else ""
    if postgres and kind_of(postgres) in _VECTORS and kind.startswith("FLOAT["):
        return _VECTORS[kind_of(postgres)], _each(values, list)
    if kind_of(postgres) == SPARSE and kind == "VARCHAR":
        return postgres.upper(), values
    converted = as_postgres(postgres, kind, values) if postgres else None
    if converted is not None:
        return converted
    if kind.endswith("]"):
        vector = kind.startswith("FLOAT[") and not kind.endswith("[]")
        floats = kind.startswith("DECIMAL") and not decimals
        return ("FLOAT_VECTOR" if vector else "ARRAY"), _each(values, _floats if floats else list)
    if kind.startswith("DECIMAL") and decimals:
        return "DECIMAL", values
    if kind.startswith("DECIMAL"):
        return "DOUBLE", _each(values, float)
    if kind in ("HUGEINT", "UHUGEINT", "UBIGINT"):
        in_range = all(value is None or abs(value) <= _MAX_INT64 for value in values)
        return ("INT64", values) if in_range else ("DECIMAL", _each(values, Decimal))
    if kind == "INTERVAL":
        return "INTERVAL", _each(values, lambda parts: Interval(*map(int, parts)))
    if kind == "JSON":
        return "JSON", _each(values, _document)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return "TIMESTAMPTZ", _each(values, _in_utc)
    if kind in ("DATE", "TIMESTAMP"):
        return kind, _each(values, _before_year_one)
    if kind.strip('"') == "NULL":
        return "ANY", values
    return _TYPES.get(kind, kind.split("(")[0]), values


def _element(kind: str) -> str:
    """The type of an array's whole numbers, which their values do not tell; empty for another type."""
    name = kind.removesuffix("[]")
    return _TYPES[name] if name != kind and name in ("SMALLINT", "INTEGER", "BIGINT") else ""


def _document(text: str) -> Any:
    try:
        return parse_document(text)
    except RowRejected as error:
        step = "Read it with ->>, or the document with ::text; to store it, write it as a string."
        raise SqlDataError(error.cause, value=error.value, next_step=step) from None
    except orjson.JSONDecodeError as error:
        raise SqlDataError(
            "a JSON document cannot be read", value=str(error), next_step="Read it with ::text."
        ) from None


def _in_utc(value: Any) -> Any:
    """A time as it is read without DuckDB: DuckDB's values have a time zone of pytz."""
    return value.astimezone(UTC) if isinstance(value, datetime) else _before_year_one(value)


def _before_year_one(value: Any) -> Any:
    """A date as it is; one that Python does not have, as PostgreSQL writes it: ``0044-03-15 BC``."""
    if isinstance(value, str) and " (BC)" in value:
        return value.replace(" (BC)", "") + " BC"
    return value


def _floats(array: Iterable[Any]) -> list[Any]:
    return [
        item if item is None else _floats(item) if isinstance(item, (list, tuple)) else float(item)
        for item in array
    ]


def _each(values: list[Any], convert: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in values]
