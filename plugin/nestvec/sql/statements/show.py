"""SHOW TABLES, VIEWS, DATABASES; SHOW INDEXES, COLUMNS or PARTITIONS FROM t; DESCRIBE t."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlglot import exp

from nestvec.collections.stored_views import read_views
from nestvec.ingest.write.names import readers_name, readers_names
from nestvec.milvus.catalog import DYNAMIC_COLUMN, LOCKS_COLLECTION, Column, Table
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.ddl.column_types import type_sql
from nestvec.sql.bind.ddl.generated import EMBED_ATTRIBUTES
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.settings import show_setting
from nestvec.sql.statements.tables import plain_table
from nestvec.sqltypes import from_stored
from nestvec.sqltypes.texts import any_text
from nestvec_schemas.errors import SqlUnknownName

_OF_TABLE = re.compile(
    r'(indexes|indices|index|columns|partitions)\s+(?:from|in|on)\s+(?:"([^"]+)"|(\w+))', re.IGNORECASE
)

_LISTS = {
    "TABLES": ("listing the collections", "list_collections"),
    "DATABASES": ("listing the databases", "list_databases"),
}
_DESCRIBED = ("name", "type", "key", "nullable", "default", "generated", "index", "metric")
_SHOWN = ("name", "column", "type", "metric", "rows", "state")


def run_show(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """SHOW TABLES and the like; any other SHOW reads a setting. Raises SqlError, StoreError."""
    start = parsed.source.tokens[0].end + 1
    rest = parsed.source.text[start:].rstrip().rstrip(";").strip()
    if rest.upper() == "VIEWS":
        return _name_list(sorted((yield from read_views())))
    listing = _LISTS.get(rest.upper())
    if listing is not None:
        names = set((yield call(*listing))) - {LOCKS_COLLECTION}
        if any(map(readers_name, names)) and rest.upper() == "TABLES":
            names = {*(yield BlockingCall(lambda client: readers_names(client, names))).values()}
        return _name_list(sorted(names))
    named = _OF_TABLE.fullmatch(rest)
    if named is None:
        return (yield from show_setting(session, parsed, params))
    identifier = exp.Identifier(this=named[2] or named[3], quoted=bool(named[2]))
    identifier.meta["start"] = parsed.source.text.index(rest, start) + named.start(2 if named[2] else 3)
    node = exp.Table(this=identifier)
    if named[1].lower() == "columns":
        return (yield from _columns_of(session, parsed.source, node))
    session.forget(str(node.name), str(node.name).lower())
    table = yield from session.table(parsed.source, node)
    if named[1].lower() == "partitions":
        doing = f"listing the partitions of {table.name}"
        return _name_list((yield call(doing, "list_partitions", table.name)))
    return (yield from _indexes(table))


def _name_list(names: Sequence[str]) -> StatementResult:
    return StatementResult(
        ("name",), ("VARCHAR",), tuple((name,) for name in names), f"SHOW {len(names)}", len(names)
    )


def _indexes(table: Table) -> Steps[StatementResult]:
    doing, rows = f"reading the indexes of {table.name}", []
    for name in (yield call(doing, "list_indexes", table.name)):
        description = yield call(doing, "describe_index", table.name, name)
        if description["field_name"] in table.hidden:
            continue
        metric = table.metrics.get(description["field_name"])
        rows.append(
            (
                table.index_names.get(description["field_name"], name),
                description["field_name"],
                description.get("index_type"),
                metric,
                description.get("indexed_rows"),
                description.get("state"),
            )
        )
    types = ("VARCHAR",) * 4 + ("INT64", "VARCHAR")
    return StatementResult(_SHOWN, types, tuple(rows), f"SHOW {len(rows)}", len(rows))


def run_describe(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """DESCRIBE: one row per column, with its type as in CREATE TABLE. Raises SqlError, StoreError."""
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("this", "kind")):
        raise source.not_supported(f"DESCRIBE {part.upper()}", 0, "Write DESCRIBE table.")
    if not isinstance(tree.this, exp.Table):
        raise source.not_supported(
            "DESCRIBE of anything but a table", tree.this, "Write DESCRIBE table, or EXPLAIN SELECT …"
        )
    plain_table(source, tree.this)
    check_consumed(source, tree)
    return (yield from _columns_of(session, source, tree.this))


def _columns_of(session: Session, source: SourceText, node: exp.Table) -> Steps[StatementResult]:
    """The columns of a collection, or of the view that has this name."""
    session.forget(str(node.name), str(node.name).lower())
    try:
        return _columns((yield from session.table(source, node)))
    except SqlUnknownName:
        if identifier_name(node.this) not in (yield from read_views()):
            raise
    # SELECT imports this package.
    from nestvec.sql.statements.views import view_columns  # noqa: PLC0415

    columns = yield from view_columns(session, source, node)
    rows = tuple((name, type_, None, True, None, None, None, None) for name, type_ in columns)
    return _described(rows)


def _columns(table: Table) -> StatementResult:
    columns = (*table.columns, DYNAMIC_COLUMN) if table.dynamic else table.columns
    return _described(tuple(_row(table, column) for column in columns))


def _described(rows: tuple[tuple[object, ...], ...]) -> StatementResult:
    return StatementResult(
        _DESCRIBED, ("VARCHAR",) * 3 + ("BOOL",) + ("VARCHAR",) * 4, rows, f"DESCRIBE {len(rows)}", len(rows)
    )


def _row(table: Table, column: Column) -> tuple[object, ...]:
    key = "primary" if column.primary else "partition" if column.partition_key else None
    return (
        column.name,
        type_sql(column),
        key,
        column.nullable,
        default_text(table, column),
        generated_expression(table, column.name),
        table.indexes.get(column.name),
        table.metrics.get(column.name),
    )


def default_text(table: Table, column: Column) -> str | None:
    """The default of a column in SQL; None for NULL."""
    expression = table.default_expressions.get(column.name)
    if expression is not None or column.default is None:
        return expression
    value = from_stored(column, column.default)
    return _constant(value if isinstance(value, (bool, int, float)) else any_text(value).decode())


def generated_expression(table: Table, column: str) -> str | None:
    """The expression that a column is generated by; None for a column that rows provide."""
    embedding = table.embedding(column)
    if embedding is not None:
        arguments = [embedding.source, _constant(embedding.config.encoder)]
        for name in EMBED_ATTRIBUTES:
            value = getattr(embedding.config, name)
            arguments += [] if value is None else [f"{name} => {_constant(value)}"]
        return f"EMBED({', '.join(arguments)})"
    source = next((lexical.source for lexical in table.lexical if lexical.column == column), None)
    if source is not None:
        return f"BM25({source})"
    of = table.generated.get(column)
    return f"a function of {of}" if of is not None else None


def _constant(value: bool | int | float | str) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).upper() if isinstance(value, bool) else str(value)
