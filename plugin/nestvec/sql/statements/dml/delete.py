"""DELETE FROM … [WHERE …] [RETURNING …]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.conditions import bind_condition
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import STRINGS, Scope
from nestvec.sql.execute.read import (
    MAX_IDS_PER_FILTER,
    STRONG_CONSISTENCY,
    ids_filter,
    read_by_ids,
    read_matching,
)
from nestvec.sql.execute.write import check_current, saying_changed
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, stray_parts, target_name
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.assigned import source_query, strong, target_column
from nestvec.sql.statements.dml.joined_returning import joined_result, joined_returning
from nestvec.sql.statements.dml.returning import (
    Returning,
    bind_returning,
    prepare_returning,
    with_rows,
)
from nestvec.sql.statements.select import run_select, select_rows
from nestvec.sql.statements.subqueries import inline_subqueries
from nestvec.sql.statements.tables import check_write, plain_table, with_table
from nestvec.sqltypes import to_stored
from nestvec_schemas.errors import SqlNotSupported

_WRITE = "Write DELETE FROM t WHERE condition."


@dataclass(frozen=True)
class Delete:
    """A bound DELETE."""

    table: Table
    filter: str
    """Milvus's filter; empty for every row."""
    returning: Returning | None


def run_delete(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """DELETE; the tag has the number of rows deleted. Raises SqlError, StoreError."""
    source, tree = parsed.source, parsed.tree
    node = tree.this
    plain_table(source, node, "alias")
    yield from check_write(session, source, node, tree)
    if tree.args.get("using") or tree.args.get("with_"):
        return (yield from _delete_by_query(session, parsed, params))
    try:
        return (yield from _delete_in_milvus(session, parsed, params))
    except SqlNotSupported as error:
        # What the filter cannot say, a query computes.
        try:
            return (yield from _delete_by_query(session, parsed, params))
        except SqlNotSupported:
            raise error from None


def _delete_by_query(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """DELETE of the rows that a query finds."""
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("this", "where", "returning", "using", "with_")):
        raise source.not_supported(f"{part.upper().strip('_')} in DELETE", 0, _WRITE)
    table = yield from session.table(source, tree.this)
    yield from check_current(table)
    scope = Scope(source, table, target_name(source, tree.this), params)
    joined, returning = joined_returning(scope, tree, {}), None
    if joined is None:
        returning = yield from prepare_returning(session, bind_returning(scope, tree.args.get("returning")))
    using = tree.args.get("using") or []
    outputs = {"__key": target_column(tree.this, table.primary.name)}
    query = source_query(tree, tree.this, list(using) if isinstance(using, list) else [using], outputs)
    if joined is not None:
        joined.add_to(query)
    matching = yield from select_rows(strong(session), source, query, params)
    first_rows = {to_stored(table.primary, row[0]): row for row in reversed(matching.rows)}
    ids = list(dict.fromkeys(to_stored(table.primary, row[0]) for row in matching.rows))
    if joined is not None:
        yield from _delete_ids(table, ids)
        return joined_result(matching, 1, [first_rows[row_id] for row_id in ids], "DELETE")
    answer = StatementResult()
    if returning is not None:
        rows = yield from read_by_ids(session, table, ids, returning.fields)
        answer = yield from with_rows(session, returning, rows.values(), answer)
    count = yield from _delete_ids(table, ids)
    return replace(answer, tag=f"DELETE {count}", count=count)


def _delete_in_milvus(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    source, tree = parsed.source, parsed.tree
    node = tree.this
    for part in stray_parts(tree, ("this", "where", "returning")):
        where = tree.args[part]
        at = where[0] if isinstance(where, list) else where
        raise source.not_supported(
            f"{part.upper().strip('_')} in DELETE", at if isinstance(at, exp.Expr) else 0, _WRITE
        )
    check_consumed(source, tree)
    statement = yield from inline_subqueries(session, parsed, params, run_select)
    delete = yield from with_table(
        session, source, node, lambda table: _bind(source, statement.tree, table, statement.params)
    )
    return (yield from _delete(session, delete))


def _bind(source: SourceText, tree: exp.Expr, table: Table, params: Params) -> Delete:
    scope = Scope(source, table, target_name(source, tree.this), params)
    where = tree.args.get("where")
    condition = bind_condition(scope, where.this) if where is not None else None
    return Delete(table, render_filter(condition), bind_returning(scope, tree.args.get("returning")))


def _delete(session: Session, delete: Delete) -> Steps[StatementResult]:
    table = delete.table
    yield from check_current(table)
    yield from session.ensure_loaded(table.name)
    returning = yield from prepare_returning(session, delete.returning)
    rows: list[dict[str, Any]] = []
    chosen = session.settings.partitions
    if returning is not None or chosen:
        read = returning.fields if returning is not None else ()
        rows = yield from read_matching(session, table, delete.filter, read, chosen)
    answer = StatementResult()
    if returning is not None:
        # Before anything is deleted: a value that cannot be computed is an error.
        answer = yield from with_rows(session, returning, rows, answer)
    if chosen:
        # Given a filter, Milvus Lite deletes in every partition, whichever is named.
        key = table.primary
        count = yield from _delete_ids(table, [to_stored(key, row[key.name]) for row in rows])
    else:
        count = yield from _delete_all(table, delete.filter)
    return replace(answer, tag=f"DELETE {count}", count=count)


def _delete_all(table: Table, where: str) -> Steps[int]:
    """Delete by a filter. The rows are counted first: Milvus's own count includes ids that never existed."""
    doing = f"counting the rows of {table.name} to delete"
    counted = yield call(
        doing, "query", table.name, filter=where, output_fields=["count(*)"], **STRONG_CONSISTENCY
    )
    count = int(counted[0]["count(*)"])
    if count:
        doing = f"deleting rows from {table.name}"
        yield call(doing, "delete", table.name, filter=where or _match_all_filter(table))
        with saying_changed(range(count), "deleted"):
            yield from check_current(table)
    return count


def _delete_ids(table: Table, ids: Sequence[Any]) -> Steps[int]:
    for start in range(0, len(ids), MAX_IDS_PER_FILTER):
        where = ids_filter(table, ids[start : start + MAX_IDS_PER_FILTER])
        with saying_changed(ids[:start], "deleted"):
            yield call(f"deleting rows from {table.name}", "delete", table.name, filter=where)
        with saying_changed(ids[: start + MAX_IDS_PER_FILTER], "deleted"):
            yield from check_current(table)
    return len(ids)


def _match_all_filter(table: Table) -> str:
    """A filter that matches every row: Milvus does not delete without one."""
    key = table.primary
    return f'{key.name} >= ""' if key.type in STRINGS else f"{key.name} < 0 or {key.name} >= 0"
