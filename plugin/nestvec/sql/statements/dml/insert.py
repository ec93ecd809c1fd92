"""INSERT INTO … VALUES … [ON CONFLICT …] [RETURNING …]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from nestvec.ingest.row_schema import Shape, table_shape
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.sql.answer import StatementResult
from nestvec.sql.bind.conflict import Conflict, bind_conflict
from nestvec.sql.bind.literals import Word, bind_value, fitted, named_column
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.recompose import composed_again, composed_of, recomposed
from nestvec.sql.bind.scope import Scope
from nestvec.sql.execute.write import Row, read_by_ids, write_partitions, write_rows
from nestvec.sql.parse.completeness import check_read
from nestvec.sql.parse.parse import Parsed
from nestvec.sql.parse.source import Source, folded, stray_parts
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.returning import Returning, bind_returning, read_returning
from nestvec.sql.statements.tables import plain_table, with_table
from nestvec_schemas.errors import SqlError, SqlKeyExists

_WRITE = "Write INSERT INTO t (a, b) VALUES (1, 2), (3, 4)."


@dataclass(frozen=True)
class Insert:
    """A bound INSERT. ``rows`` are as Milvus takes them, NULLs among them; ``nodes`` where each stands."""

    scope: Scope
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    nodes: tuple[exp.Expr, ...]
    conflict: Conflict | None
    returning: Returning | None

    @property
    def table(self) -> Table:
        return self.scope.table


def run_insert(session: Session, parsed: Parsed, params: Params) -> Steps[StatementResult]:
    """INSERT. Every row is checked before any is written; of two alike at the same time both may get in.

    Raises SqlError, StoreError, ServiceError.
    """
    return (yield from insert_many(session, parsed, (params,)))


def insert_many(session: Session, parsed: Parsed, param_sets: Sequence[Params]) -> Steps[StatementResult]:
    """The same INSERT for many sets of parameters, written in batches as if it were one statement."""
    source, tree = parsed.source, parsed.tree
    node = _table(source, tree)
    check_read(source, tree)
    if not param_sets:
        return StatementResult(tag="INSERT 0 0", count=0)

    def bind(table: Table) -> Insert:
        return _merged([bind_insert(source, tree, table, params) for params in param_sets])

    insert = yield from with_table(session, source, node, bind)
    ids = yield from _write(session, insert)
    answer = StatementResult(tag=f"INSERT 0 {len(ids)}", count=len(ids))
    if insert.returning is None:
        return answer
    return (yield from read_returning(session, insert.table, insert.returning, ids, answer))


def bind_insert(source: Source, tree: exp.Expr, table: Table, params: Params) -> Insert:
    """Bind an INSERT to its table, and check its rows. Raises SqlError."""
    alias = _table(source, tree).args.get("alias")
    scope = Scope(source, table, folded(alias.this) if alias else table.name, params)
    shape = table_shape(table)
    columns = _columns(scope, shape, tree)
    values = tree.args.get("expression")
    if not isinstance(values, exp.Values):
        what = "INSERT of a SELECT" if isinstance(values, exp.Select) else "INSERT without VALUES"
        raise source.not_supported(what, values if values is not None else 0, _WRITE)
    nodes = tuple(values.expressions)
    rows = tuple(_row(scope, shape, columns, node) for node in nodes)
    conflict = bind_conflict(scope, shape, tree.args.get("conflict"))
    return Insert(scope, columns, rows, nodes, conflict, bind_returning(scope, tree.args.get("returning")))


def _merged(parts: Sequence[Insert]) -> Insert:
    first = parts[0]
    rows = tuple(row for part in parts for row in part.rows)
    nodes = tuple(node for part in parts for node in part.nodes)
    return Insert(first.scope, first.columns, rows, nodes, first.conflict, first.returning)


def _table(source: Source, tree: exp.Expr) -> exp.Table:
    for part in stray_parts(tree, ("this", "expression", "conflict", "returning")):
        what = {"default": "DEFAULT VALUES", "with_": "WITH"}.get(part, part.upper().strip("_"))
        raise source.not_supported(f"{what} in INSERT", 0, _WRITE)
    node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    plain_table(source, node, "alias")
    if not isinstance(node, exp.Table):
        raise source.not_supported("this INSERT", node, _WRITE)
    return node


def _columns(scope: Scope, shape: Shape, tree: exp.Expr) -> tuple[str, ...]:
    if not isinstance(tree.this, exp.Schema):
        return tuple(one.name for one in shape.given)
    names: list[str] = []
    for node in tree.this.expressions:
        if not isinstance(node, exp.Identifier):
            raise scope.source.not_supported("anything but names among the columns", node, _WRITE)
        column = named_column(scope, node)
        name = column.name if column is not None else folded(node)
        if column is not None and column.auto_id:
            raise scope.source.type_mismatch(
                "Milvus makes the ids of this table", name, node, "Leave the column out."
            )
        if name in names:
            raise scope.source.syntax_error(f"column {name} is there twice", node, "Remove one.")
        names.append(name)
    return tuple(names)


def _row(scope: Scope, shape: Shape, columns: tuple[str, ...], node: exp.Expr) -> Row:
    values = node.expressions if isinstance(node, exp.Tuple) else [node]
    if len(values) != len(columns):
        at_first = values[len(columns)] if len(values) > len(columns) else node
        raise scope.source.syntax_error(
            f"there are {len(values)} values for {len(columns)} columns",
            at_first,
            f"Columns: {', '.join(columns)}.",
        )
    at = dict(zip(columns, values, strict=True))
    row = {name: bind_value(scope, value_node, shape.columns.get(name)) for name, value_node in at.items()}
    row = {name: value for name, value in row.items() if value is not Word.DEFAULT}
    stored = fitted(scope, shape, row, at, node)
    return {**{name: None for name, value in row.items() if value is None}, **stored}


def _write(session: Session, insert: Insert) -> Steps[list[Any]]:
    """Write the rows, new ones and those that are there; the ids of what was written."""
    table, key = insert.table, insert.table.primary
    if key.auto_id:
        if insert.conflict is not None:
            raise insert.scope.source.not_supported(
                "ON CONFLICT where Milvus makes the ids", insert.conflict.node, "No id can be there already."
            )
        return (yield from write_rows(session, table, insert.rows, partition=_into(session, insert)))
    _check_once(insert)
    ids = [row[key.name] for row in insert.rows]
    again = composed_again(table, insert.conflict.columns) if insert.conflict is not None else []
    stored = yield from read_by_ids(session, table, ids, composed_of(table, again))
    if insert.conflict is None:
        for row, node in zip(insert.rows, insert.nodes, strict=True):
            if row[key.name] in stored:
                raise _duplicate(insert, row[key.name], node)
    fresh: dict[Any, Row] = {}
    for row in insert.rows:
        if row[key.name] not in stored:
            fresh.setdefault(row[key.name], row)
    changed = _changed(insert, stored, again)
    written_ids = yield from write_rows(
        session, table, list(fresh.values()), partition=_into(session, insert)
    )
    if not changed:
        return written_ids
    for partition in (yield from write_partitions(session, table)) or ("",):
        here = list(changed)
        if partition:
            here = list((yield from read_by_ids(session, table, list(changed), (), partition)))
        rows = [changed.pop(row_id) for row_id in here]
        written_ids += yield from write_rows(session, table, rows, partial=True, partition=partition)
    return written_ids


def _changed(insert: Insert, there: Mapping[Any, Mapping[str, Any]], again: Sequence[str]) -> dict[Any, Row]:
    """What is written over the rows that are there, by key; the composed columns ``again`` are made anew."""
    conflict, key = insert.conflict, insert.table.primary.name
    if conflict is None or not conflict.columns:
        return {}
    shape, changed = table_shape(insert.table), dict[Any, Row]()
    for row, node in zip(insert.rows, insert.nodes, strict=True):
        stored = there.get(row[key])
        if stored is not None:
            over = conflict.row(key, row)
            recomposed_columns = recomposed(insert.scope, shape, again, {**stored, **over}, node)
            changed[row[key]] = {**over, **recomposed_columns}
    return changed


def _into(session: Session, insert: Insert) -> str:
    """The partition that new rows go to; empty for Milvus's own choice. Raises SqlNotSupported."""
    chosen = session.settings.partitions
    if len(chosen) > 1:
        raise insert.scope.source.not_supported(
            "INSERT into several partitions", 0, "Name one: SET nestvec.partitions = 'name'."
        )
    return chosen[0] if chosen else ""


def _check_once(insert: Insert) -> None:
    """Raise where one id is there twice, unless the second is to be left out."""
    if insert.conflict is not None and not insert.conflict.columns:
        return
    seen_ids: set[object] = set()
    for row, node in zip(insert.rows, insert.nodes, strict=True):
        value = row[insert.table.primary.name]
        if value in seen_ids:
            raise _duplicate(insert, value, node, "twice in this statement")
        seen_ids.add(value)


def _duplicate(insert: Insert, value: object, node: exp.Expr, where: str = "there already") -> SqlError:
    key = insert.table.primary.name
    at = node.expressions[insert.columns.index(key)] if isinstance(node, exp.Tuple) else node
    source = insert.scope.source
    return SqlKeyExists(
        f"a row with this {key} is {where}",
        value=value,
        next_step=f"Give another, or write ON CONFLICT ({key}) DO UPDATE SET … or DO NOTHING.",
        statement=source.text,
        position=source.position(at),
    )
