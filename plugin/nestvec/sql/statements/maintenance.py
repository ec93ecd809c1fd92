"""VACUUM and REINDEX: what of them Milvus does by itself, and what a statement can ask of it."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.ingest.write.names import readers_names
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.parse import ParsedStatement, parse
from nestvec.sql.parse.source import identifier_name
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.analyze import run_analyze
from nestvec.sql.statements.ddl.index import indexes_of, unknown_index
from nestvec.sql.statements.tables import plain_table

_NO_VACUUM: Final = "Milvus Lite has no VACUUM: the table is as it was"
_NO_REINDEX: Final = "REINDEX does nothing: Milvus builds the indexes of rows as they are written"


def run_vacuum(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """VACUUM: a server is asked to compact the collections, and does so later. With ANALYZE, they are
    measured.

    Raises SqlError, StoreError.
    """
    tables: list[Table] = []
    for name in parsed.tree.args["names"]:
        plain_table(parsed.source, exp.Table(this=name))
        tables.append((yield from session.table(parsed.source, exp.Table(this=name))))
    names = [table.name for table in tables]
    if not names:
        names = [str(name) for name in (yield call("listing the collections", "list_collections"))]
    if (yield from session.is_lite()):
        session.notices.note(_NO_VACUUM)
    else:
        for name in names:
            yield call(f"compacting {name}", "compact", name)
    if parsed.tree.args["analyzes"]:
        for name in parsed.tree.args["names"] or [exp.to_identifier(name, quoted=True) for name in names]:
            analyzed = parse(f"ANALYZE {name.sql('postgres')}")
            yield from run_analyze(session, analyzed, params)
    return StatementResult(tag="VACUUM")


def run_reindex(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """REINDEX: nothing is done, since Milvus builds the index of rows when they are written.

    Raises SqlUnknownName for no such table or index, StoreError.
    """
    source, kind = parsed.source, parsed.tree.args["kind"]
    for name in parsed.tree.args["names"]:
        if kind == "TABLE":
            yield from session.table(source, exp.Table(this=name))
        elif kind == "INDEX":
            indexes = yield from _index_names()
            if identifier_name(name) not in indexes:
                raise unknown_index(source, identifier_name(name), name, indexes)
    session.notices.note(_NO_REINDEX)
    return StatementResult(tag="REINDEX")


def _index_names() -> Steps[set[str]]:
    """The names of all indexes, and those that PostgreSQL gives primary keys. Raises StoreError."""
    collections = [str(each) for each in (yield call("listing the collections", "list_collections"))]
    shown = yield BlockingCall(lambda client: readers_names(client, collections))
    indexes = yield from indexes_of(collections)
    return {index for index, _ in indexes} | {f"{name}_pkey" for name in shown.values()}
