"""Views: queries that are kept in the properties of the database, and replace their names in a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlglot import exp

from nestvec.collections.stored_views import StoredView, delete_views, read_views, write_view
from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.ddl.column_types import ColumnType, type_name
from nestvec.sql.bind.params import PARAMETER_NODES, Params
from nestvec.sql.parse.parse import ParsedStatement, parse
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.select import select_rows
from nestvec.sql.statements.tables import plain_table
from nestvec_schemas.base_error import ABSENT
from nestvec_schemas.errors import SqlNotSupported, nearest

_MAX_BYTES: Final = 16_384
_MAX_DEPTH: Final = 16
_WRITE: Final = "Write CREATE VIEW name [(columns)] AS SELECT …."


def run_create_view(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """CREATE [OR REPLACE] VIEW; its query is run once, for no rows, so that its errors show now."""
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("this", "kind", "replace", "expression")):
        raise source.not_supported(f"{part.upper()} in CREATE VIEW", 0, _WRITE)
    node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    name = plain_table(source, node)
    columns = [identifier_name(column) for column in tree.this.expressions or ()]
    query = tree.args.get("expression")
    if not isinstance(query, exp.Query):
        raise source.syntax_error("a view is a query", node, _WRITE)
    parameter = query.find(*PARAMETER_NODES)
    if parameter is not None:
        raise source.not_supported("a parameter in a view", parameter, "Write the value.")
    if (yield call(f"looking for collection {name}", "has_collection", name)):
        raise source.type_mismatch("a collection of this name exists", name, node, "Choose another name.")
    views = yield from read_views()
    if name in views and not tree.args.get("replace"):
        raise source.type_mismatch("a view of this name exists", name, node, "Write CREATE OR REPLACE VIEW.")
    text = _query_text(source)
    others = {other: view for other, view in views.items() if other != name}
    checked = _replaced(source, query, others, 0) if others else query
    if name in views and name in _table_names(checked):
        raise source.type_mismatch(
            "a view cannot read itself", name, node, "Write its present query in place of its name."
        )
    result = yield from select_rows(
        session, source, exp.select("*").from_(_subquery(checked)).limit(0), params
    )
    if columns and len(columns) != len(result.columns):
        raise source.syntax_error(
            f"the query has {len(result.columns)} columns, and the list {len(columns)}", node, _WRITE
        )
    check_distinct(source, node, columns or result.columns)
    view = StoredView(text, tuple(columns))
    size = len(view.property_value().encode())
    if size > _MAX_BYTES:
        raise source.type_mismatch("the view is too long", size, node, f"At most {_MAX_BYTES} bytes.")
    yield from write_view(name, view)
    return StatementResult(tag="CREATE VIEW")


def check_distinct(source: SourceText, node: exp.Expr, names: Sequence[str]) -> None:
    """Raise SqlSyntaxError if two columns of a table or a view have the same name."""
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise source.syntax_error(
            f"column {repeated} is specified more than once", node, "Name the columns of the query with AS."
        )


def run_drop_view(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """DROP VIEW [IF EXISTS]."""
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("exists", "tables", "kind", "cascade", "restrict")):
        raise source.not_supported(f"{part.upper()} in DROP VIEW", 0, "Write DROP VIEW [IF EXISTS] name.")
    views, dropped = (yield from read_views()), list[str]()
    for node in tree.args["tables"]:
        name = plain_table(source, node)
        if name in views:
            dropped.append(name)
        elif (yield call(f"looking for collection {name}", "has_collection", name)):
            raise source.type_mismatch(
                f'"{name}" is not a view', ABSENT, node, "Use DROP TABLE to remove a table."
            )
        elif not tree.args.get("exists"):
            available = ", ".join(sorted(views)) or "none"
            raise source.unknown_name(
                "there is no view of this name", name, node, f"Available: {available}.{nearest(name, views)}"
            )
    if dropped:
        yield from delete_views(dropped)
    return StatementResult(tag="DROP VIEW")


def refuse_view(session: Session, source: SourceText, node: exp.Expr, name: str) -> Steps[None]:
    """Raise SqlTypeMismatch if a table that is to be created has the name of a view."""
    if name in (yield from read_views()):
        raise source.type_mismatch(
            "a view of this name exists", name, node, "Choose another name, or drop it."
        )


def expand_views(session: Session, source: SourceText, tree: exp.Expr) -> Steps[exp.Expr | None]:
    """The statement with its views replaced by their queries; None if it names none. Raises SqlError."""
    named = {identifier_name(table.this) for table in tree.find_all(exp.Table) if _is_plain(table)}
    if not named:
        return None
    views = yield from read_views()
    if not named & views.keys():
        return None
    expanded = _replaced(source, tree, views, 0)
    # The statement does not name the collections of its views.
    yield from session.refresh_aged(expanded, compare=True)
    return expanded


def view_columns(session: Session, source: SourceText, node: exp.Table) -> Steps[list[tuple[str, str]]]:
    """The columns of a view with their types in SQL, from its query for no rows. Raises SqlError."""
    query = exp.select("*").from_(node.copy()).limit(0)
    result = yield from select_rows(session, source, query, Params())
    types = (type_name(ColumnType(name)) for name in result.types)
    return list(zip(result.columns, types, strict=True))


def _replaced(source: SourceText, tree: exp.Expr, views: Mapping[str, StoredView], depth: int) -> exp.Expr:
    if depth > _MAX_DEPTH:
        raise SqlNotSupported("views nested this deeply are not supported", next_step="Simplify them.")
    tree = tree.copy()
    hidden = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        name = identifier_name(table.this) if _is_plain(table) else ""
        if name in hidden or name not in views:
            continue
        inner = _replaced(source, parse(views[name].query).tree, views, depth + 1)
        place = source.position(table)
        for part in inner.walk():
            # Positions in the text of the view are none in that of the statement.
            placed = part.meta.get("start") is not None
            part.meta.clear()
            if placed:
                part.meta["start"] = place
        alias = table.args.get("alias")
        columns = [exp.to_identifier(column, quoted=True) for column in views[name].columns]
        identifier = alias.this.copy() if alias is not None else table.this.copy()
        replacement = exp.Subquery(this=inner, alias=exp.TableAlias(this=identifier, columns=columns))
        for clause in ("joins", "laterals"):
            if table.args.get(clause):
                replacement.set(clause, [join.copy() for join in table.args[clause]])
        table.replace(replacement)
    return tree


def _table_names(tree: exp.Expr) -> set[str]:
    """The tables that a query reads, without its CTEs."""
    names = {identifier_name(table.this) for table in tree.find_all(exp.Table) if _is_plain(table)}
    return names - {cte.alias for cte in tree.find_all(exp.CTE)}


def _is_plain(table: exp.Table) -> bool:
    return isinstance(table.this, exp.Identifier) and not table.args.get("db")


def _subquery(query: exp.Expr) -> exp.Subquery:
    return exp.Subquery(this=query.copy(), alias=exp.TableAlias(this=exp.to_identifier("view_rows")))


def _query_text(source: SourceText) -> str:
    """The text after the first AS that is not in brackets."""
    depth = 0
    for token in source.tokens:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.text.upper() == "AS":
            return source.text[token.end + 1 :].strip().rstrip(";").strip()
    return source.text
