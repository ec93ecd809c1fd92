"""UPDATE t SET a = value, … [WHERE …] [RETURNING …]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import TokenType, exp

from nestvec.ingest.row_schema import RowSchema, row_schema
from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.steps import Steps
from nestvec.sql.bind.conditions import bind_condition
from nestvec.sql.bind.dml.defaults import with_default
from nestvec.sql.bind.dml.literals import (
    CLOCKS,
    bind_value,
    check_no_star,
    fit_value,
    is_computed,
    is_default,
    writable_column,
)
from nestvec.sql.bind.dml.recompose import composed_sources, recompose, stale_composed
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.execute.read import read_by_ids, read_matching
from nestvec.sql.execute.write import Row, check_current, update_rows, write_in_batches, write_partitions
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, stray_parts, target_name
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.assigned import (
    assigned,
    source_query,
    strong,
    target_column,
)
from nestvec.sql.statements.dml.exclusive import exclusively
from nestvec.sql.statements.dml.joined_returning import joined_result, joined_returning
from nestvec.sql.statements.dml.returning import (
    Returning,
    bind_returning,
    prepare_returning,
    read_returning,
)
from nestvec.sql.statements.select import run_select, select_rows
from nestvec.sql.statements.subqueries import inline_subqueries
from nestvec.sql.statements.tables import check_write, plain_table, with_table
from nestvec.sqltypes import to_stored
from nestvec_schemas.errors import SqlNotSupported

_WRITE = "Write UPDATE t SET a = 1, b = b + 1 WHERE condition."


@dataclass(frozen=True)
class Assignment:
    """One assignment of SET: a constant, as Milvus takes it."""

    column: Column
    value: object = None


@dataclass(frozen=True)
class Update:
    """A bound UPDATE."""

    scope: Scope
    shape: RowSchema
    assignments: tuple[Assignment, ...]
    node: exp.Expr
    """The first assignment in the statement."""
    filter: str
    returning: Returning | None

    @property
    def table(self) -> Table:
        return self.scope.table


def run_update(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """UPDATE of at most ``MAX_SCAN_ROWS`` rows; columns generated from a changed one are computed again.

    Every new row is checked before any is written. Raises SqlError, StoreError, ServiceError.
    """
    source, tree = parsed.source, parsed.tree
    plain_table(source, tree.this, "alias")
    yield from check_write(session, source, tree.this, tree)
    if tree.args.get("from_") is not None or tree.args.get("with_") is not None or _computes(tree):
        return (yield from update_by_query(session, parsed, params))
    try:
        return (yield from _update_in_milvus(session, parsed, params))
    except SqlNotSupported as error:
        # What the filter or the values cannot say, a query computes.
        try:
            return (yield from update_by_query(session, parsed, params))
        except SqlNotSupported:
            raise error from None


def _update_in_milvus(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("this", "expressions", "where", "returning")):
        at = tree.args[part]
        raise source.not_supported(
            f"{part.upper().strip('_')} in UPDATE", at if isinstance(at, exp.Expr) else 0, _WRITE
        )
    check_consumed(source, tree)
    if not tree.expressions:
        raise source.syntax_error("SET is empty", TokenType.SET, "Write SET column = value.")
    statement = yield from inline_subqueries(session, parsed, params, run_select)
    update = yield from with_table(
        session, source, tree.this, lambda table: bind_update(source, statement.tree, table, statement.params)
    )
    return (yield from _write_update(session, update))


def _write_update(session: Session, update: Update) -> Steps[StatementResult]:
    key = update.table.primary.name
    yield from check_current(update.table)
    returning = yield from prepare_returning(session, update.returning)
    again = stale_composed(update.table, (assignment.column.name for assignment in update.assignments))
    read = composed_sources(update.table, again)
    ids: list[Any] = []
    parts: list[tuple[str, list[Row]]] = []
    for partition in (yield from write_partitions(session, update.table)) or ("",):
        chosen = (partition,) if partition else ()
        matching_rows = yield from read_matching(session, update.table, update.filter, read, chosen)
        changed = [
            {key: to_stored(update.table.primary, row[key]), **_new_values(update, row, again)}
            for row in matching_rows
        ]
        parts.append((partition, changed))
    for partition, changed in parts:
        yield from write_in_batches(
            session, update.table, changed, partial=True, partition=partition, written_ids=ids
        )
    result = StatementResult(tag=f"UPDATE {len(ids)}", count=len(ids))
    if returning is None:
        return result
    return (yield from read_returning(session, update.table, returning, ids, result))


def bind_update(source: SourceText, tree: exp.Expr, table: Table, params: Params) -> Update:
    """Bind an UPDATE to its table. Raises SqlError."""
    scope = Scope(source, table, target_name(source, tree.this), params)
    shape, changes = row_schema(table), dict[str, Assignment]()
    for node in tree.expressions:
        for target, value in assignment_pairs(scope, node):
            change = _bind_assignment(scope, shape, target, value)
            _check_set_once(scope, change.column, changes, target)
            changes[change.column.name] = change
    where = tree.args.get("where")
    condition = bind_condition(scope, where.this) if where is not None else None
    returning = bind_returning(scope, tree.args.get("returning"))
    return Update(
        scope,
        shape,
        tuple(changes.values()),
        tree.expressions[0],
        filter=render_filter(condition),
        returning=returning,
    )


def _computes(tree: exp.Expr) -> bool:
    """Whether a value of SET is computed."""
    for node in tree.expressions:
        right = node.args.get("expression")
        values = [right] if right is None else _row_values(right)
        if any(is_computed(value) and not is_default(value) for value in values if value is not None):
            return True
    return False


def assignment_pairs(scope: Scope, node: exp.Expr) -> list[tuple[exp.Expr, exp.Expr]]:
    """The columns and values of ``a = 1``, and of ``(a, b) =`` a list, a ROW or a query of one row."""
    if not isinstance(node, exp.EQ):
        raise scope.source.syntax_error("SET is a list of column = value", node, _WRITE)
    left, right = node.this, node.args["expression"]
    check_no_star(scope, right)
    if not isinstance(left, (exp.Tuple, exp.Paren)):
        return [(left, right)]
    columns = left.expressions if isinstance(left, exp.Tuple) else [left.this]
    values = _row_values(right)
    for value in values:
        query = value.this if isinstance(value, exp.Subquery) else None
        if isinstance(query, exp.Values):
            raise scope.source.syntax_error("SET assigns VALUES of one row", right, "Keep one row.")
        if isinstance(query, exp.Query) and any(item.is_star for item in query.selects):
            raise scope.source.not_supported("* in a query that SET assigns", right, "Name its columns.")
    if len(values) != len(columns):
        raise scope.source.syntax_error(f"{len(values)} values for {len(columns)} columns", right, _WRITE)
    return list(zip(columns, values, strict=True))


def _row_values(node: exp.Expr) -> list[exp.Expr]:
    """The values of a row that SET assigns; of a query, one query for each of its columns."""
    if isinstance(node, exp.Tuple) or (isinstance(node, exp.Anonymous) and node.name.upper() == "ROW"):
        return list(node.expressions)
    query = node.this if isinstance(node, exp.Subquery) else None
    if isinstance(query, exp.Values) and len(query.expressions) == 1:
        return list(query.expressions[0].expressions)
    if not isinstance(query, exp.Query):
        return [node]
    values: list[exp.Expr] = []
    for at, item in enumerate(query.selects):
        single = query.copy()
        if isinstance(query, exp.Select) and not _depends_on_list(query):
            single.set("expressions", [_of_one_row(item) if _aggregates(query) else item.copy()])
        else:
            names = [f"column{number}" for number in range(len(query.selects))]
            alias = exp.TableAlias(this=exp.to_identifier("row"), columns=list(map(exp.to_identifier, names)))
            rows = exp.Subquery(this=single, alias=alias)
            single = exp.Select(expressions=[exp.column(names[at])], from_=exp.From(this=rows))
        values.append(exp.Subquery(this=single))
    return values


def _of_one_row(item: exp.Expr) -> exp.Expr:
    """An item of a list that aggregates, so that it does so by itself, too."""
    counted = exp.GTE(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(0))
    return exp.Case(ifs=[exp.If(this=counted, true=item.unalias().copy())])


def _aggregates(query: exp.Select) -> bool:
    """Whether a query without GROUP BY returns one row for all that it reads."""
    return any(
        not isinstance(node.parent, exp.Window) and node.find_ancestor(exp.Select) is query
        for item in query.selects
        for node in item.find_all(exp.AggFunc)
    )


def _depends_on_list(query: exp.Select) -> bool:
    """Whether the rows of a query depend on its whole list: by DISTINCT, or a position in a clause."""
    clauses = [query.args.get(name) for name in ("order", "group")]
    return query.args.get("distinct") is not None or any(clauses)


def _bind_assignment(scope: Scope, shape: RowSchema, target: exp.Expr, value: exp.Expr) -> Assignment:
    column = assigned_column(scope, target)
    value = with_default(scope.table, column, value)
    bound = bind_value(scope, value, column)
    return Assignment(column, fit_value(scope, shape, bound, column, value))


def assigned_column(scope: Scope, target: exp.Expr) -> Column:
    """The column that SET names. Raises SqlError."""
    if not isinstance(target, exp.Column) or stray_parts(target, ("this",)):
        raise scope.source.not_supported("SET of anything but a column", target, _WRITE)
    column = writable_column(scope, target.this)
    if column is None:
        raise scope.source.not_supported(
            "SET of a dynamic field", target, "Replace the row with INSERT … ON CONFLICT."
        )
    if column.primary:
        raise scope.source.type_mismatch(
            "a primary key cannot be changed", column.name, target, "INSERT a new row, and DELETE this one."
        )
    return column


def _check_set_once(scope: Scope, column: Column, changes: Mapping[str, object], target: exp.Expr) -> None:
    if column.name in changes:
        raise scope.source.syntax_error(f"column {column.name} is set twice", target, "Remove one.")


def _new_values(update: Update, row: Mapping[str, Any], again: Sequence[str] = ()) -> Row:
    new_values: Row = {assignment.column.name: assignment.value for assignment in update.assignments}
    node = update.node
    return new_values | recompose(update.scope, update.shape, again, {**row, **new_values}, node)


def update_by_query(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """UPDATE whose rows and values a query computes: any expression, and FROM.

    A row that several rows of FROM match is changed by one of them. Raises SqlError, StoreError,
    ServiceError.
    """
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("this", "expressions", "where", "returning", "from_", "with_")):
        at = tree.args[part]
        raise source.not_supported(f"{part.upper()} in UPDATE", at if isinstance(at, exp.Expr) else 0, _WRITE)
    table = yield from session.table(source, tree.this)
    yield from check_current(table)
    scope = Scope(source, table, target_name(source, tree.this), params)
    return (yield from exclusively(session, table, _write_computed(session, scope, tree)))


def _changes(scope: Scope, tree: exp.Expr) -> dict[str, exp.Expr]:
    """What SET assigns, by the names of the columns."""
    changes: dict[str, exp.Expr] = {}
    for target, value in (pair for node in tree.expressions for pair in assignment_pairs(scope, node)):
        column = assigned_column(scope, target)
        _check_set_once(scope, column, changes, target)
        changes[column.name] = with_default(scope.table, column, value)
    return changes


def _write_computed(session: Session, scope: Scope, tree: exp.Expr) -> Steps[StatementResult]:
    table, shape = scope.table, row_schema(scope.table)
    changes = _changes(scope, tree)
    joined, returning = joined_returning(scope, tree, changes), None
    if joined is None:
        returning = yield from prepare_returning(session, bind_returning(scope, tree.args.get("returning")))
    outputs: dict[str, exp.Expr] = {"__key": target_column(tree.this, table.primary.name)}
    for name, value in changes.items():
        # All times of the statement are those of the query.
        if (is_computed(value) or value.find(*CLOCKS) is not None) and not is_default(value):
            outputs[name] = value
    from_ = tree.args.get("from_")
    others = [] if from_ is None else [from_.this]
    outputs |= {} if joined is None else joined.checked
    query = source_query(tree, tree.this, others, outputs)
    if joined is not None:
        joined.add_to(query)
    queried = yield from select_rows(strong(session), scope.source, query, scope.params)
    kinds = dict(zip(outputs, queried.types, strict=joined is None))
    computed, first_rows = dict[Any, Row](), dict[Any, tuple[Any, ...]]()
    for values in queried.rows:
        row = dict(zip(outputs, values, strict=joined is None))
        row_id = to_stored(table.primary, row.pop("__key"))
        computed.setdefault(row_id, row)
        first_rows.setdefault(row_id, values)
    rows: dict[Any, Row] = {}
    for row_id, row in computed.items():
        stored: Row = {table.primary.name: row_id}
        for name, node in changes.items():
            column = shape.columns[name]
            if name in row:
                new_value = assigned(scope, row[name], column, node, kinds[name])
            else:
                new_value = bind_value(scope, node, column)
            stored[name] = fit_value(scope, shape, new_value, column, node)
        rows[row_id] = stored
    yield from _recompose_rows(session, scope, rows, changes)
    yield from update_rows(session, table, rows)
    if joined is not None:
        return joined_result(queried, len(outputs), list(first_rows.values()), "UPDATE")
    result = StatementResult(tag=f"UPDATE {len(rows)}", count=len(rows))
    if returning is None:
        return result
    return (yield from read_returning(session, table, returning, list(rows), result))


def _recompose_rows(
    session: Session, scope: Scope, rows: dict[Any, Row], changes: Mapping[str, exp.Expr]
) -> Steps[None]:
    """Compute the composed columns of changed rows again."""
    again = stale_composed(scope.table, changes)
    if not again:
        return
    shape, node = row_schema(scope.table), next(iter(changes.values()))
    before = yield from read_by_ids(session, scope.table, list(rows), composed_sources(scope.table, again))
    for row_id, row in rows.items():
        row.update(recompose(scope, shape, again, {**before.get(row_id, {}), **row}, node))
