"""CREATE INDEX and DROP INDEX."""

from __future__ import annotations

from typing import Any, Final

from pymilvus import MilvusClient
from pymilvus.milvus_client import IndexParams
from sqlglot import exp

from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.indexes import Index
from nestvec.milvus.lite import is_lite
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.ddl.index import IndexDefinition, bind_index
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.tables import plain_table, with_table
from nestvec_schemas.errors import NestvecError, nearest

_DESCRIPTION_KEYS: Final = (
    "index_type", "metric_type", "field_name", "index_name", "total_rows", "indexed_rows",
    "pending_index_rows", "state", "index_state_fail_reason",
)  # fmt: skip
"""Keys of describe_index that are not build parameters."""


def run_create_index(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """CREATE INDEX. A column has one index, which is replaced; the table cannot be searched meanwhile.

    Raises SqlError, StoreError, after the previous index is restored.
    """
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("this", "kind", "exists")):
        raise source.not_supported(
            f"{part.upper()} in CREATE INDEX", 0, "Write CREATE INDEX ON t USING hnsw (v)."
        )
    node = tree.this.args.get("table")
    plain_table(source, node)
    check_consumed(source, tree)
    declared = yield from with_table(
        session, source, node, lambda table: bind_index(source, tree, table, params)
    )
    name = declared.table.name
    if tree.args.get("exists"):
        existing = yield call(f"listing the indexes of {name}", "list_indexes", name)
        if declared.name in existing:
            return StatementResult(tag="CREATE INDEX")
    yield BlockingCall(lambda client: replace_index(client, declared))
    session.forget(name)
    return StatementResult(tag="CREATE INDEX")


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
                params = {key: value for key, value in previous.items() if key not in _DESCRIPTION_KEYS}
                _create_index(
                    client,
                    declared,
                    Index(previous["index_type"], str(previous.get("metric_type") or ""), params),
                )
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
        index_name=declared.name,
        params=dict(index.params),
        **metric,
    )
    client.create_index(declared.table.name, index_params)


def run_drop_index(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """DROP INDEX name [ON table]. A vector column gets AUTOINDEX: Milvus cannot search it without an index.

    Raises SqlError, StoreError.
    """
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("exists", "tables", "kind", "cluster", "cascade", "restrict")):
        raise source.not_supported(f"{part.upper()} in DROP INDEX", 0, "Write DROP INDEX name ON table.")
    for node in tree.args["tables"]:
        index_name = plain_table(source, node)
        holders = yield from _indexes_named(session, parsed, index_name)
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
            names = sorted({existing for existing, _ in (yield from _all_indexes(session, parsed))})
            raise source.unknown_name(
                "there is no index of this name",
                index_name,
                node,
                f"Available: {', '.join(names) or 'none'}.{nearest(index_name, names)}",
            )
        yield from _drop(session, parsed, node, *holders[0])
    return StatementResult(tag="DROP INDEX")


def _drop(
    session: Session, parsed: ParsedStatement, node: exp.Expr, index: str, table_name: str
) -> Steps[None]:
    table_node = exp.Table(this=exp.Identifier(this=table_name, quoted=True))
    table = yield from session.table(parsed.source, table_node)
    doing = f"reading the index {index} of {table_name}"
    description = yield call(doing, "describe_index", table_name, index)
    column = table.column(description["field_name"])
    if column is not None and column.is_vector:
        if column.type == "SPARSE_FLOAT_VECTOR" or description.get("index_type") == "AUTOINDEX":
            raise parsed.source.not_supported(
                f"dropping the index of vector column {column.name}",
                node,
                "Milvus cannot search vectors without an index.",
            )
        automatic = Index("AUTOINDEX", str(description.get("metric_type") or "COSINE"), {})
        declared = IndexDefinition(table, column, column.name, automatic)
        yield BlockingCall(lambda client: replace_index(client, declared))
    else:
        yield BlockingCall(lambda client: _drop_scalar(client, table_name, description["field_name"], index))
    session.forget(table_name)


def _drop_scalar(client: MilvusClient, name: str, column: str, index: str) -> None:
    with milvus_errors(f"dropping the index {index} of {name}"):
        client.release_collection(name)
        try:
            _drop_named_index(client, name, column, index)
        finally:
            client.load_collection(name)


def _indexes_named(session: Session, parsed: ParsedStatement, name: str) -> Steps[list[tuple[str, str]]]:
    every = yield from _all_indexes(session, parsed)
    return [pair for pair in every if pair[0] == name]


def _all_indexes(session: Session, parsed: ParsedStatement) -> Steps[list[tuple[str, str]]]:
    """Every index with its table: of the table that ON names, or of all tables."""
    on = parsed.tree.args.get("cluster")
    if on is not None:
        plain_table(parsed.source, on.this)
        table = yield from session.table(parsed.source, on.this)
        names = [table.name]
    else:
        names = yield call("listing the collections", "list_collections")
    pairs = []
    for name in names:
        for index in (yield call(f"listing the indexes of {name}", "list_indexes", name)):
            pairs.append((str(index), str(name)))
    return pairs
