"""INSERT INTO … VALUES … [ON CONFLICT …] [RETURNING …]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from sqlglot import exp

from nestvec.ingest.row_schema import RowSchema, row_schema
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.sql.bind.dml.conflict import OnConflict, bind_conflict
from nestvec.sql.bind.dml.literals import (
    ValueKeyword,
    bind_value,
    fit_row,
    fit_value,
    is_computed,
    is_default,
)
from nestvec.sql.bind.dml.recompose import composed_sources, recompose, stale_composed
from nestvec.sql.bind.params import PARAMETER_NODES, Params, check_characters
from nestvec.sql.bind.scope import Scope
from nestvec.sql.execute.read import read_by_ids
from nestvec.sql.execute.write import Row, saying_changed, update_rows, write_in_batches
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.assigned import assigned, is_untyped, list_items, strong, without_untyped
from nestvec.sql.statements.dml.conflict_values import computed_values
from nestvec.sql.statements.dml.defaults import NO_DEFAULTS, Defaults, bind_with_defaults
from nestvec.sql.statements.dml.exclusive import exclusively
from nestvec.sql.statements.dml.insert_columns import WRITE_INSERT, insert_columns
from nestvec.sql.statements.dml.returning import (
    Returning,
    bind_returning,
    prepare_returning,
    read_returning,
)
from nestvec.sql.statements.select import select_rows
from nestvec.sql.statements.tables import check_write, plain_table
from nestvec_schemas.errors import SqlError, SqlKeyExists


@dataclass(frozen=True)
class Insert:
    """A bound INSERT."""

    scope: Scope
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    """As Milvus takes them, with NULLs."""
    nodes: tuple[exp.Expr, ...]
    """The node of each row in the statement."""
    conflict: OnConflict | None
    returning: Returning | None
    statement: exp.Expr | None = None
    """The INSERT."""

    @property
    def table(self) -> Table:
        return self.scope.table


def run_insert(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """INSERT. Every row is checked before any is written; two concurrent inserts of one key may both succeed.

    Raises SqlError, StoreError, ServiceError.
    """
    return (yield from insert_many(session, parsed, (params,)))


def insert_many(
    session: Session, parsed: ParsedStatement, param_sets: Sequence[Params]
) -> Steps[StatementResult]:
    """The same INSERT for many sets of parameters, written in batches as if it were one statement."""
    source, tree = parsed.source, parsed.tree
    node = _table(source, tree)
    if not param_sets:
        return StatementResult(tag="INSERT 0 0", count=0)
    conflict = tree.args.get("conflict")
    if len(param_sets) > 1 and conflict is not None and conflict.find(*PARAMETER_NODES) is not None:
        return (yield from _insert_each(session, parsed, param_sets))
    query = _query(tree)
    selected = []
    if query is None:
        check_consumed(source, tree)
        count = len(_rows(tree)) * len(param_sets)
    else:
        for params in param_sets:
            selected.append((yield from select_rows(strong(session), source, query, params)))
        count = sum(len(result.rows) for result in selected)
    yield from check_write(session, source, node, tree)

    def bind(table: Table, defaults: Defaults) -> Insert:
        if query is None:
            return _merge([bind_insert(source, tree, table, params, defaults) for params in param_sets])
        scopes = [Scope(source, table, table.name, params) for params in param_sets]
        parts = zip(scopes, selected, strict=True)
        return _merge([_bind_selected(scope, tree, query, result, defaults) for scope, result in parts])

    insert = yield from bind_with_defaults(
        session, source, node, lambda table: _lacking(table, tree), count, bind
    )
    returning = yield from prepare_returning(session, insert.returning)
    steps = _write(session, insert)
    if insert.conflict is not None and insert.conflict.needs_query:
        steps = exclusively(session, insert.table, steps)
    ids = yield from steps
    result = StatementResult(tag=f"INSERT 0 {len(ids)}", count=len(ids))
    if returning is None:
        return result
    return (yield from read_returning(session, insert.table, returning, ids, result))


def _insert_each(
    session: Session, parsed: ParsedStatement, param_sets: Sequence[Params]
) -> Steps[StatementResult]:
    """One statement for each set of parameters, since what a conflict sets depends on them."""
    count, rows, result = 0, list[tuple[Any, ...]](), StatementResult()
    for params in param_sets:
        with saying_changed(range(count)):
            result = yield from insert_many(session, parsed, (params,))
        count += result.count
        rows += result.rows
    return replace(result, tag=f"INSERT 0 {count}", count=count, rows=tuple(rows))


def bind_insert(
    source: SourceText, tree: exp.Expr, table: Table, params: Params, defaults: Defaults = NO_DEFAULTS
) -> Insert:
    """Bind an INSERT to its table, and check its rows, which ``defaults`` complete. Raises SqlError."""
    alias = _table(source, tree).args.get("alias")
    scope = Scope(source, table, identifier_name(alias.this) if alias else table.name, params)
    shape = row_schema(table, defaults=defaults)
    nodes = tuple(_rows(tree))
    if not nodes:
        raise source.not_supported(
            "INSERT without VALUES or a query", tree.args.get("expression") or 0, WRITE_INSERT
        )
    columns = insert_columns(scope, shape, tree, len(_values(nodes[0])))
    rows = tuple(_row(scope, shape, columns, node) for node in nodes)
    conflict = bind_conflict(scope, shape, tree.args.get("conflict"))
    returning = bind_returning(scope, tree.args.get("returning"))
    return Insert(scope, columns, rows, nodes, conflict=conflict, returning=returning, statement=tree)


def _rows(tree: exp.Expr) -> list[exp.Expr]:
    """The rows of VALUES, or that of DEFAULT VALUES."""
    values = tree.args.get("expression")
    if isinstance(values, exp.Values):
        return list(values.expressions)
    return [exp.Tuple()] if tree.args.get("default") else []


def _lacking(table: Table, tree: exp.Expr) -> list[str]:
    """The columns whose defaults nestvec evaluates, if rows of an INSERT lack them."""
    names = list(table.default_expressions)
    if not names or not isinstance(tree.this, exp.Schema):
        return names
    values = tree.args.get("expression")
    rows = values.expressions if isinstance(values, exp.Values) else ()
    if any(is_default(cell) for row in rows for cell in _values(row)):
        return names
    named = {text for node in tree.this.expressions for text in (identifier_name(node), str(node.this))}
    return [name for name in names if name not in named]


def _query(tree: exp.Expr) -> exp.Expr | None:
    """The query whose rows are inserted, with NULL for DEFAULT; None for VALUES without expressions."""
    values = tree.args.get("expression")
    if isinstance(values, exp.Values):
        cells = [cell for row in values.expressions for cell in _values(row) or [row]]
        if not any(is_computed(cell) and not is_default(cell) for cell in cells):
            return None
        query: exp.Expr = without_untyped(values)
    elif not isinstance(values, exp.Query):
        return None
    else:
        query = values.unnest() if isinstance(values, exp.Subquery) else values
    if tree.args.get("with_") is not None:
        query = query.copy()
        query.set("with_", tree.args["with_"].copy())
    return query


def insert_rows(
    session: Session, scope: Scope, columns: tuple[str, ...], query: exp.Expr, result: StatementResult
) -> Steps[int]:
    """Insert the rows of a query into these columns. Returns their number. Raises SqlError, StoreError."""
    rows = _selected_rows(scope, columns, query, result)
    insert = Insert(scope, columns, rows, (query,) * len(rows), conflict=None, returning=None)
    return len((yield from _write(session, insert)))


def _selected_rows(
    scope: Scope,
    columns: tuple[str, ...],
    query: exp.Expr,
    result: StatementResult,
    defaults: Defaults = NO_DEFAULTS,
    nodes: Sequence[exp.Expr] = (),
) -> tuple[Row, ...]:
    """The rows of a query as Milvus takes them; ``nodes`` are those of VALUES, which may say DEFAULT."""
    shape, rows = row_schema(scope.table, defaults=defaults), list[Row]()
    items = list_items(query, len(columns))
    for values, node in zip_longest(result.rows, nodes):
        row: Row = {}
        cells = zip(columns, values, result.types, items if node is None else _values(node), strict=True)
        for name, value, kind, cell in cells:
            column = shape.columns.get(name)
            if is_untyped(cell):
                row[name] = constant = bind_value(scope, cell.unalias(), column)
                if isinstance(constant, str):
                    check_characters(scope.source, constant, cell)
            elif node is None or not is_default(cell):
                row[name] = assigned(scope, value, column, query, kind)
        rows.append(_stored_row(scope, shape, row, {}, query))
    return tuple(rows)


def _bind_selected(
    scope: Scope, tree: exp.Expr, query: exp.Expr, result: StatementResult, defaults: Defaults
) -> Insert:
    """An INSERT of the rows of a query. Raises SqlError."""
    shape = row_schema(scope.table)
    columns = insert_columns(scope, shape, tree, len(result.columns))
    width = max((len(values) for values in result.rows), default=len(result.columns))
    if not width == len(result.columns) == len(columns):
        raise scope.source.syntax_error(
            f"{width} values for {len(columns)} columns",
            query,
            f"Columns: {', '.join(columns)}.",
        )
    rows = _selected_rows(scope, columns, query, result, defaults, _rows(tree))
    conflict = bind_conflict(scope, shape, tree.args.get("conflict"))
    returning = bind_returning(scope, tree.args.get("returning"))
    nodes = (query,) * len(rows)
    return Insert(scope, columns, rows, nodes, conflict=conflict, returning=returning, statement=tree)


def _merge(parts: Sequence[Insert]) -> Insert:
    rows = tuple(row for part in parts for row in part.rows)
    nodes = tuple(node for part in parts for node in part.nodes)
    return replace(parts[0], rows=rows, nodes=nodes)


def _table(source: SourceText, tree: exp.Expr) -> exp.Table:
    for part in stray_parts(tree, ("this", "expression", "conflict", "returning", "with_", "default")):
        raise source.not_supported(f"{part.upper().strip('_')} in INSERT", 0, WRITE_INSERT)
    node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    plain_table(source, node, "alias")
    if not isinstance(node, exp.Table):
        raise source.not_supported("this INSERT", node, WRITE_INSERT)
    return node


def _values(node: exp.Expr) -> list[exp.Expr]:
    return list(node.expressions) if isinstance(node, exp.Tuple) else [node]


def _row(scope: Scope, shape: RowSchema, columns: tuple[str, ...], node: exp.Expr) -> Row:
    values = _values(node)
    if len(values) != len(columns):
        at_first = values[len(columns)] if len(values) > len(columns) else node
        raise scope.source.syntax_error(
            f"{len(values)} values for {len(columns)} columns",
            at_first,
            f"Columns: {', '.join(columns)}.",
        )
    at = dict(zip(columns, values, strict=True))
    row = {name: bind_value(scope, value_node, shape.columns.get(name)) for name, value_node in at.items()}
    row = {name: value for name, value in row.items() if value is not ValueKeyword.DEFAULT}
    return _stored_row(scope, shape, row, at, node)


def _stored_row(scope: Scope, shape: RowSchema, row: Row, at: Mapping[str, exp.Expr], node: exp.Expr) -> Row:
    """A row as Milvus takes it, with NULLs, and with its id where Milvus would generate it."""
    key = scope.table.primary
    own_id = row.pop(key.name, None) if key.auto_id else None
    stored = fit_row(scope, shape, row, at, node)
    if own_id is not None:
        stored[key.name] = fit_value(scope, shape, own_id, key, at.get(key.name, node))
    return {**{name: None for name, value in row.items() if value is None}, **stored}


def _write(session: Session, insert: Insert) -> Steps[list[Any]]:
    """Insert new rows and update existing ones. Returns the ids written."""
    table, key = insert.table, insert.table.primary
    generated = [row for row in insert.rows if key.auto_id and key.name not in row]
    if generated:
        # Those with ids come first: they may be refused, before any row is written.
        own, partition = _with_own_ids(insert), _target_partition(session, insert)
        own_ids = (yield from _write(session, own)) if own.rows else []
        before = len(own_ids)
        ids = yield from write_in_batches(session, table, generated, partition=partition, written_ids=own_ids)
        return ids[before:] + ids[:before]
    _check_unique_ids(insert)
    ids = [row[key.name] for row in insert.rows]
    again = stale_composed(table, insert.conflict.columns) if insert.conflict is not None else []
    stored = yield from read_by_ids(session, table, ids, composed_sources(table, again))
    if insert.conflict is None:
        for row, node in zip(insert.rows, insert.nodes, strict=True):
            if row[key.name] in stored:
                raise _duplicate(insert, row[key.name], node)
    fresh: dict[Any, Row] = {}
    for row in insert.rows:
        if row[key.name] not in stored:
            fresh.setdefault(row[key.name], row)
    conflicting = [row for row in insert.rows if row[key.name] in stored]
    values = yield from computed_values(session, insert.scope, insert.statement, insert.conflict, conflicting)
    changed = _updates(insert, stored, again, values)
    written_ids = yield from write_in_batches(
        session, table, list(fresh.values()), partition=_target_partition(session, insert)
    )
    return (yield from update_rows(session, table, changed, written_ids)) if changed else written_ids


def _with_own_ids(insert: Insert) -> Insert:
    """The part of an INSERT whose rows have ids, in a table whose ids Milvus generates."""
    key = insert.table.primary.name
    own_rows = [(row, node) for row, node in zip(insert.rows, insert.nodes, strict=True) if key in row]
    return replace(insert, rows=tuple(row for row, _ in own_rows), nodes=tuple(node for _, node in own_rows))


def _updates(
    insert: Insert,
    existing: Mapping[Any, Mapping[str, Any]],
    again: Sequence[str],
    computed: Mapping[Any, Row] | None,
) -> dict[Any, Row]:
    """The new values of existing rows, by key; the composed columns ``again`` are computed again.

    ``computed`` are values that a query computed, for the rows that are changed; None without a query.
    """
    conflict, key = insert.conflict, insert.table.primary.name
    if conflict is None or not conflict.columns:
        return {}
    shape, changed = row_schema(insert.table), dict[Any, Row]()
    defaults = {column.name: column.default for column in insert.table.columns if column.has_default}
    for row, node in zip(insert.rows, insert.nodes, strict=True):
        stored = existing.get(row[key])
        if stored is not None and (computed is None or row[key] in computed):
            over = {**conflict.row(key, {**defaults, **row}), **(computed or {}).get(row[key], {})}
            changed[row[key]] = {**over, **recompose(insert.scope, shape, again, {**stored, **over}, node)}
    return changed


def _target_partition(session: Session, insert: Insert) -> str:
    """The partition for new rows; empty for Milvus's choice. Raises SqlNotSupported."""
    chosen = session.settings.partitions
    if len(chosen) > 1:
        raise insert.scope.source.not_supported(
            "INSERT into several partitions", 0, "Select one: SET nestvec.partitions = 'name'."
        )
    return chosen[0] if chosen else ""


def _check_unique_ids(insert: Insert) -> None:
    """Raise if an id occurs twice, unless ON CONFLICT DO NOTHING skips the second."""
    if insert.conflict is not None and not insert.conflict.columns:
        return
    seen_ids: set[object] = set()
    for row, node in zip(insert.rows, insert.nodes, strict=True):
        value = row[insert.table.primary.name]
        if value in seen_ids:
            if insert.conflict is not None:
                problem = "is in the statement twice: ON CONFLICT DO UPDATE cannot affect row a second time"
                raise _duplicate(insert, value, node, problem, "DO NOTHING")
            # DO UPDATE would not help: it cannot change a row twice.
            raise _duplicate(insert, value, node, "occurs twice in this statement", "DO NOTHING")
        seen_ids.add(value)


def _duplicate(
    insert: Insert,
    value: object,
    node: exp.Expr,
    problem: str = "already exists",
    action: str = "DO UPDATE SET … or DO NOTHING",
) -> SqlError:
    key = insert.table.primary.name
    in_row = isinstance(node, exp.Tuple) and key in insert.columns  # else its default made it
    at = node.expressions[insert.columns.index(key)] if in_row else node
    source = insert.scope.source
    return SqlKeyExists(
        f"a row with this {key} {problem}",
        value=value,
        next_step=f"Use another, or write ON CONFLICT ({key}) {action}.",
        statement=source.text,
        position=source.position(at),
    )
