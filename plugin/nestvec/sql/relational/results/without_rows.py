"""The columns of a relational plan, by the types that DuckDB gives it: nothing is read or computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa

from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.relational.arrow_rows import arrow_rows, casts_of
from nestvec.sql.relational.engine import open_engine
from nestvec.sql.relational.errors.error_location import located
from nestvec.sql.relational.output import read_result
from nestvec.sql.relational.relations import CollectionScan, RankingScan, Relation, RelationalPlan
from nestvec.sql.relational.tables.loaded import LoadedTable, ranked_table, register_tables, scan_column
from nestvec.sql.result import StatementResult
from nestvec_schemas.errors import SqlError

_ARRAYS: Final = {
    "SMALLINT": "_int2", "INTEGER": "_int4", "BIGINT": "_int8", "FLOAT": "_float4", "DOUBLE": "_float8",
    "DECIMAL": "_numeric", "BOOLEAN": "_bool", "VARCHAR": "_text", "JSON": "_jsonb", "UUID": "_uuid",
    "DATE": "_date", "TIMESTAMP": "_timestamp", "TIMESTAMP WITH TIME ZONE": "_timestamptz",
}  # fmt: skip
"""By DuckDB's type of the elements."""
_NAMES: Final = {
    "TEXT": "text", "VARCHAR": "varchar", "BOOLEAN": "bool", "DECIMAL": "numeric", "DATE": "date",
    "TIME": "time", "TIMESTAMP": "timestamp", "TIMESTAMPTZ": "timestamptz", "UUID": "uuid",
    "INTERVAL": "interval", "JSON": "json", "JSONB": "jsonb", "VARBINARY": "bytea",
}  # fmt: skip
"""PostgreSQL's short names of types that are no integers."""


def result_without_rows(plan: RelationalPlan) -> Steps[StatementResult]:
    """The result of a plan, with its columns and no rows. Raises SqlError for types that do not fit."""
    tables = {
        relation.name: empty for relation in plan.relations if (empty := _empty_table(relation)) is not None
    }
    params = {**plan.params, **dict.fromkeys(plan.targets)}
    columns_only = replace(plan, sql=f"SELECT * FROM ({plan.sql}) LIMIT 0")  # noqa: S608 - planned

    def describe(_: object) -> StatementResult:
        with open_engine(plan.reads_files, plan.postgres) as connection:
            register_tables(connection, plan, tables)
            result = read_result(connection, columns_only, params)
            kinds = [str(column[1]) for column in connection.description or ()]
        arrays = {at: kind for at, kind in enumerate(kinds) if result.types[at] == "ARRAY"}
        names = {**_null_names(kinds, plan.output.postgres), **_array_names(arrays), **result.names}
        return replace(result, names=names)

    try:
        result: StatementResult = yield BlockingCall(describe)
    except SqlError as error:
        raise located(plan, error) from None
    return result


def _null_names(kinds: Sequence[str], types: Sequence[str]) -> dict[int, str]:
    """PostgreSQL's names of what DuckDB takes for an integer, as it is always NULL."""
    pairs = enumerate(zip(kinds, types, strict=False))
    return {at: _NAMES[type_] for at, (kind, type_) in pairs if kind == "INTEGER" and type_ in _NAMES}


def _array_names(kinds: Mapping[int, str]) -> dict[int, str]:
    """PostgreSQL's names of arrays, whose values would tell the types of their elements."""
    elements = {at: kind.removesuffix("[]").partition("(")[0] for at, kind in kinds.items()}
    return {at: _ARRAYS[element] for at, element in elements.items() if element in _ARRAYS}


def _empty_table(relation: Relation) -> LoadedTable | None:
    """The columns of a relation without its rows; None for a file, which DuckDB reads itself."""
    if isinstance(relation, RankingScan):
        types = tuple(output.type for output in relation.plan.outputs)
        return ranked_table(relation, StatementResult(relation.plan.columns, types, ()))
    if isinstance(relation, CollectionScan):
        columns = [scan_column(relation, name) for name in relation.columns or relation.fields]
        data = arrow_rows(columns, ())
        for distance in relation.distances:
            data = data.append_column(distance.name, pa.array([], pa.float64()))
        return LoadedTable(data, casts_of(columns))
    return None if relation.data is None else LoadedTable(relation.data.slice(0, 0))
