"""CREATE INDEX and DROP INDEX."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from pymilvus import MilvusClient
from pymilvus.milvus_client import IndexParams
from sqlglot import exp

from nestvec.milvus.catalog import Column, Table, table_steps
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.indexes import Index, build_params, index_property
from nestvec.milvus.lite import is_lite
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.ddl.index import IndexDefinition, bind_index
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.tables import plain_table, with_table
from nestvec_schemas.errors import NestvecError, SqlError, nearest

_ONLY_INDEXES: Final = {"BINARY_VECTOR": "BIN_FLAT", "SPARSE_FLOAT_VECTOR": "SPARSE_INVERTED_INDEX"}
"""The index of vectors that Milvus indexes in one way, or in one exact way."""


def run_create_index(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """CREATE INDEX. A column of Milvus has one index: another one is an error; the table cannot be searched
    meanwhile.

    Raises SqlError, StoreError, after the previous index is restored.
    """
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("this", "kind", "exists", "concurrently")):
        raise source.not_supported(
            f"{part.upper()} in CREATE INDEX", 0, "Write CREATE INDEX ON t USING hnsw (v)."
        )
    node = tree.this.args.get("table")
    plain_table(source, node)
    check_consumed(source, tree)
    first = yield from session.table(source, node)
    session.forget(first.name)
    declared = yield from with_table(
        session, source, node, lambda table: bind_index(source, tree, table, params)
    )
    table, name = declared.table, declared.table.name
    if not isinstance(tree.this.this, exp.Identifier):
        _check_single(source, declared, tree.this)
    if declared.name in table.index_names.values():
        if tree.args.get("exists"):
            return StatementResult(tag="CREATE INDEX")
        raise source.type_mismatch(
            "an index of this name already exists", declared.name, tree.this, "Choose another name."
        )
    _check_single(source, declared, tree.this)
    yield BlockingCall(lambda client: replace_index(client, declared))
    yield from _set_name(table, declared.column.name, declared.name)
    session.forget(name)
    return StatementResult(tag="CREATE INDEX")


def _check_single(source: SourceText, declared: IndexDefinition, at: exp.Expr) -> None:
    """Raise SqlNotSupported for a second index of a column: Milvus would only replace the first one."""
    table, column = declared.table, declared.column
    existing = table.index_names.get(column.name)
    if existing is None:
        return
    metric = table.metrics.get(column.name)
    by = f" by {metric}" if metric else ""
    raise source.not_supported(
        f"a second index on column {column.name}, which has {existing}{by},",
        at,
        f"Milvus keeps one index per column: DROP INDEX {existing} first, or add a column for the other one. "
        "A distance of another metric is computed exactly.",
    )


def _set_name(table: Table, column: str, name: str | None) -> Steps[None]:
    """Record the name of a column's index, or remove it: Milvus Lite has no names of indexes."""
    doing, key = f"naming the index of {table.name}.{column}", index_property(column)
    if name is not None:
        yield call(doing, "alter_collection_properties", table.name, {key: name})
    elif key in table.properties:
        yield call(doing, "drop_collection_properties", table.name, [key])


def replace_index(client: MilvusClient, declared: IndexDefinition) -> None:
    """Create an index in place of the column's own. Raises StoreError, after that one is restored."""
    name, column = declared.table.name, declared.column.name
    with milvus_errors(f"reading the index of {name}.{column}"):
        before = _describe_indexes(client, name, column)
        client.release_collection(name)
    try:
        with milvus_errors(f"indexing {name}.{column}"):
            for previous in before:
                _drop_named_index(client, name, column, previous["index_name"])
            _create_index(client, declared, declared.index)
    except NestvecError:
        with milvus_errors(f"restoring the index of {name}.{column}"):
            for previous in before if not _describe_indexes(client, name, column) else ():
                metric = str(previous.get("metric_type") or "")
                restored = Index(previous["index_type"], metric, build_params(previous))
                _create_index(client, declared, restored)
            client.load_collection(name)
        raise
    with milvus_errors(f"loading collection {name}"):
        client.load_collection(name)


def _drop_named_index(client: MilvusClient, name: str, column: str, index: str) -> None:
    # Milvus Lite knows an index by this name only; given another, it drops every index of the collection.
    client.drop_index(name, f"{column}_idx" if is_lite(client) else index)


def _describe_indexes(client: MilvusClient, name: str, column: str) -> list[dict[str, Any]]:
    descriptions = (client.describe_index(name, index) for index in client.list_indexes(name))
    return [
        description for description in descriptions if description and description["field_name"] == column
    ]


def _create_index(client: MilvusClient, declared: IndexDefinition, index: Index) -> None:
    index_params = IndexParams()
    metric = {"metric_type": index.metric} if index.metric else {}
    index_params.add_index(
        declared.column.name,
        index_type=index.type,
        index_name=declared.column.name,
        params=dict(index.params),
        **metric,
    )
    client.create_index(declared.table.name, index_params)


def run_drop_index(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """DROP INDEX name [ON table]. A vector column is searched exactly afterwards.

    Raises SqlError, StoreError.
    """
    source, tree = parsed.source, parsed.tree
    allowed = ("exists", "tables", "kind", "cluster", "cascade", "restrict", "concurrently")
    for part in stray_parts(tree, allowed):
        raise source.not_supported(f"{part.upper()} in DROP INDEX", 0, "Write DROP INDEX name ON table.")
    for node in tree.args["tables"]:
        index_name = plain_table(source, node)
        every = yield from _all_indexes(session, parsed)
        holders = [holder for name, holder in every if name == index_name]
        if not holders and tree.args.get("exists"):
            continue
        if len(holders) > 1:
            raise source.unknown_name(
                "several tables have an index of this name",
                index_name,
                node,
                "Write DROP INDEX name ON table.",
            )
        if not holders:
            raise unknown_index(source, index_name, node, {name for name, _ in every})
        yield from _drop(session, *holders[0])
    return StatementResult(tag="DROP INDEX")


def unknown_index(source: SourceText, name: str, node: exp.Expr, names: Collection[str]) -> SqlError:
    """The error of an index that is none of these."""
    return source.unknown_name(
        "there is no index of this name",
        name,
        node,
        f"Available: {', '.join(sorted(names)) or 'none'}.{nearest(name, names)}",
    )


def _drop(session: Session, table: Table, column: Column) -> Steps[None]:
    if column.is_vector:
        metric = table.metrics.get(column.name, "COSINE")
        # Milvus cannot do without an index: this one compares every vector.
        without = Index("FLAT" if table.embedding(column.name) is None else "AUTOINDEX", metric, {})
        if column.type in _ONLY_INDEXES:
            without = Index(_ONLY_INDEXES[column.type], metric, {})
        declared = IndexDefinition(table, column, column.name, without)
        yield BlockingCall(lambda client: replace_index(client, declared))
    else:
        yield BlockingCall(lambda client: _drop_scalar(client, table.name, column.name))
    yield from _set_name(table, column.name, None)
    session.forget(table.name)


def _drop_scalar(client: MilvusClient, name: str, column: str) -> None:
    with milvus_errors(f"dropping the index of {name}.{column}"):
        client.release_collection(name)
        try:
            for previous in _describe_indexes(client, name, column):
                _drop_named_index(client, name, column, previous["index_name"])
        finally:
            client.load_collection(name)


def _all_indexes(session: Session, parsed: ParsedStatement) -> Steps[list[tuple[str, tuple[Table, Column]]]]:
    """The name of every index with its table and column: of the table that ON names, or of all tables."""
    on = parsed.tree.args.get("cluster")
    if on is not None:
        plain_table(parsed.source, on.this)
        names = [(yield from session.table(parsed.source, on.this)).name]
    else:
        names = yield call("listing the collections", "list_collections")
    return (yield from indexes_of([str(name) for name in names]))


def indexes_of(names: Sequence[str]) -> Steps[list[tuple[str, tuple[Table, Column]]]]:
    """The name of every index of these collections with its table and column. Raises StoreError."""
    indexes = []
    for name in names:
        table: Table = yield from table_steps(name)
        for column in table.columns:
            if column.name in table.index_names:
                indexes.append((table.index_names[column.name], (table, column)))
    return indexes
