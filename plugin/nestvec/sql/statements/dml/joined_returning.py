"""RETURNING with columns of the other tables of an UPDATE … FROM or a DELETE … USING."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from nestvec.ingest.row_schema import row_schema
from nestvec.milvus.catalog import Column
from nestvec.sql.bind.ddl.column_types import type_sql
from nestvec.sql.bind.dml.defaults import default_query
from nestvec.sql.bind.dml.literals import is_default
from nestvec.sql.bind.dml.recompose import stale_composed
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.select_list import list_select_items, output_name
from nestvec.sql.parse.construct_names import function_name
from nestvec.sql.parse.source import identifier_name
from nestvec.sql.result import Row, StatementResult
from nestvec.sql.statements.dml.defaults import VOLATILE


@dataclass(frozen=True)
class JoinedReturning:
    """What the query for the changed rows selects for RETURNING, behind its own columns."""

    items: tuple[exp.Expr, ...]
    checked: dict[str, exp.Expr]
    """Columns that are read as they were, so that a name of several tables is an error."""

    def add_to(self, query: exp.Select) -> None:
        """Have the query select them, too."""
        query.set("expressions", [*query.expressions, *self.items])


def joined_result(queried: StatementResult, first: int, rows: Collection[Row], tag: str) -> StatementResult:
    """The columns of a query from the one at ``first``, of these of its rows, as those of RETURNING."""
    return StatementResult(
        columns=queried.columns[first:],
        types=queried.types[first:],
        rows=tuple(row[first:] for row in rows),
        tag=f"{tag} {len(rows)}",
        count=len(rows),
        elements={at - first: kind for at, kind in queried.elements.items() if at >= first},
        names={at - first: kind for at, kind in queried.names.items() if at >= first},
    )


def joined_returning(scope: Scope, tree: exp.Expr, changes: Mapping[str, exp.Expr]) -> JoinedReturning | None:
    """RETURNING of a statement with FROM or USING that names columns of these; None for another one.

    ``changes`` are the values of SET. Raises SqlNotSupported for what only the stored row tells.
    """
    returning, others = tree.args.get("returning"), _others(tree)
    if returning is None or not others or not _names_others(scope, returning):
        return None
    items, checked = list[exp.Expr](), dict[str, exp.Expr]()
    for item in returning.expressions:
        if isinstance(item, exp.Star):
            items += _own_columns(scope, changes)
            items += [_star_of(other) for other in others]
        elif item.is_star and _is_own(scope, item):
            items += _own_columns(scope, changes)
        elif item.is_star:
            items.append(item.copy())
        else:
            items.append(_with_new_values(scope, item, changes, checked))
    return JoinedReturning(tuple(items), checked)


def _others(tree: exp.Expr) -> list[exp.Expr]:
    """The tables of FROM or USING, with those that are joined to them."""
    using = tree.args.get("using") or []
    from_ = tree.args.get("from_")
    first = [from_.this] if from_ is not None else list(using) if isinstance(using, list) else [using]
    return [
        each for entry in first for each in (entry, *(join.this for join in entry.args.get("joins") or ()))
    ]


def _names_others(scope: Scope, returning: exp.Expr) -> bool:
    """Whether RETURNING has ``*``, or a column that is not one of the table's."""
    if any(isinstance(item, exp.Star) for item in returning.expressions):
        return True
    for column in returning.find_all(exp.Column):
        if column.find_ancestor(exp.Query) is None and not _is_own(scope, column):
            return True
    return False


def _is_own(scope: Scope, column: exp.Expr) -> bool:
    qualifier = column.args.get("table")
    if qualifier is not None:
        return scope.name in (identifier_name(qualifier), str(qualifier.this))
    return isinstance(column, exp.Column) and _stored(scope, column) is not None


def _stored(scope: Scope, column: exp.Column) -> Column | None:
    if isinstance(column.this, exp.Star):
        return None
    return scope.table.column(identifier_name(column.this)) or scope.table.column(str(column.this.this))


def _star_of(other: exp.Expr) -> exp.Expr:
    alias = other.args.get("alias")
    identifier = alias.this if alias is not None else other.this
    return exp.Column(this=exp.Star(), table=identifier.copy())


def _own_columns(scope: Scope, changes: Mapping[str, exp.Expr]) -> Iterator[exp.Expr]:
    """The columns of the table that ``*`` names."""
    for item in list_select_items(scope, exp.Select(expressions=[exp.Star()])):
        column = exp.column(
            exp.to_identifier(item.name, quoted=True), table=exp.to_identifier(scope.name, quoted=True)
        )
        value = _new_value(scope, item.name, changes, item.node) or column
        yield exp.alias_(value, item.name, quoted=True)


def _with_new_values(
    scope: Scope, item: exp.Expr, changes: Mapping[str, exp.Expr], checked: dict[str, exp.Expr]
) -> exp.Expr:
    """An item of the list with the values of SET in the place of the columns that it changes."""
    query = item.find(exp.Query)
    if query is not None:
        raise scope.source.not_supported(
            "a subquery in RETURNING beside columns of other tables", query, "Compute it in FROM or USING."
        )
    inner = item.unalias()
    name = identifier_name(item.args["alias"]) if isinstance(item, exp.Alias) else None
    name = name if name is not None else output_name(scope.source, inner)
    holder = exp.Paren(this=inner.copy())
    for column in list(holder.find_all(exp.Column)):
        stored = _stored(scope, column) if _is_own(scope, column) else None
        value = _new_value(scope, stored.name, changes, column) if stored is not None else None
        if value is None:
            continue
        if not column.table:
            checked[f"__checked{len(checked)}"] = column.copy()
        column.replace(value)
    return exp.alias_(holder.this, name, quoted=True)


def _new_value(scope: Scope, name: str, changes: Mapping[str, exp.Expr], node: exp.Expr) -> exp.Expr | None:
    """What SET assigns to a column, as a value of its type; None for one that it does not change."""
    shape = row_schema(scope.table)
    again = stale_composed(scope.table, changes)
    if name in again or (name in shape.generated and shape.sources & {*changes, *again}):
        raise scope.source.not_supported(
            f"RETURNING {name}, which is generated, beside columns of other tables",
            node,
            "Read it afterwards.",
        )
    if name not in changes:
        return None
    value, column = changes[name], shape.columns[name]
    if any(function_name(scope.source, part) in VOLATILE for part in value.walk()):
        raise scope.source.not_supported(
            f"RETURNING {name}, of which each call gives another value, beside columns of other tables",
            node,
            "Read it afterwards.",
        )
    if is_default(value):
        value = exp.null() if column.default is None else exp.convert(column.default)
    kind = default_query(f"CAST(NULL AS {type_sql(column)})")[1].args["to"]
    return exp.Cast(this=value.copy(), to=kind.copy())
