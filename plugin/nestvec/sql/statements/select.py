"""SELECT."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.sql.bind.lateral import bind_lateral, is_lateral
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.query import WindowExceeded
from nestvec.sql.bind.scope import Context, Scope
from nestvec.sql.bind.select import bind_query, table_name, table_node
from nestvec.sql.bind.values import BeyondMilvus
from nestvec.sql.bind.vectors.distance import IndexMismatch
from nestvec.sql.execute.executor import run_plan
from nestvec.sql.parse.completeness import check_select_consumed
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.hints import shortlist_hint
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.plan.adaptive import add_shortlist
from nestvec.sql.plan.cache import CachedPlan
from nestvec.sql.plan.lateral import plan_lateral
from nestvec.sql.plan.nodes import Plan
from nestvec.sql.plan.select import plan_query
from nestvec.sql.relational.relations import RelationalPlan
from nestvec.sql.result import StatementResult
from nestvec.sql.schema_changes import names_row
from nestvec.sql.session import Session
from nestvec.sql.settings import DEFAULT_SERVICE
from nestvec.sql.statements.subqueries import inline_subqueries
from nestvec_schemas.errors import NestvecError, SqlNotSupported, SqlUnknownName

if TYPE_CHECKING:
    import pyarrow as pa

_NO_TABLE: Final = Table("", ())
"""The table of a SELECT without FROM."""


_RELATIONAL_PARTS: Final = {"with_": "WITH", "joins": "JOIN", "windows": "WINDOW", "locks": "FOR UPDATE"}
"""Parts of a SELECT that Milvus has no calls for, with their names in SQL."""

_RELATIONAL_NODES: Final = (exp.Window, exp.Filter, exp.SetOperation)

_PART_KEY: Final = "relational_part"
"""Where a tree's part of this kind is kept, in its ``meta``."""


def run_select(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """Plan a query and run it: in Milvus as far as it goes, else in DuckDB over rows of Milvus."""
    plan = yield from plan_statement(session, parsed, params)
    if isinstance(plan, Plan):
        return (yield from run_plan(session, plan))
    from nestvec.sql.relational.run import run_relational  # noqa: PLC0415

    return (yield from run_relational(session, plan))


def plan_statement(session: Session, parsed: ParsedStatement, params: Params) -> Steps[Plan | RelationalPlan]:
    """Plan a SELECT, a set operation or VALUES, for the engine that it needs. Raises SqlError, StoreError.

    Views are looked up when a name is no collection's, so that other statements do not pay for them.
    """
    try:
        return (yield from _plan_statement(session, parsed, params))
    except SqlUnknownName:
        from nestvec.sql.statements.views import expand_views  # noqa: PLC0415

        expanded = yield from expand_views(session, parsed.source, parsed.tree)
        if expanded is None:
            raise
    from nestvec.sql.relational.plan import plan_relational  # noqa: PLC0415

    return (yield from plan_relational(session, parsed.source, expanded, params, "a view"))


def _plan_statement(
    session: Session, parsed: ParsedStatement, params: Params
) -> Steps[Plan | RelationalPlan]:
    if session.plan_cache.relational:
        from nestvec.sql.relational.plan_cache import lookup_relational  # noqa: PLC0415

        cached = yield from lookup_relational(session, parsed, params, _service(session))
        if cached is not None:
            return cached
    unsupported: NestvecError | None = None
    reason = _relational_part(session, parsed.tree)
    if not reason:
        try:
            return (yield from plan_select(session, parsed, params))
        except (SqlNotSupported, IndexMismatch, WindowExceeded) as error:
            unsupported, reason = error, str(error.cause).removesuffix(" is not supported")
        except SqlUnknownName as error:
            if not _may_have_subquery(parsed.source) and not names_row(parsed.tree):
                raise
            unsupported, reason = error, "a subquery that reads the query around it, or a row as one value"
    # DuckDB is loaded by the statements that need it, and by no others.
    from nestvec.sql.relational.plan import plan_relational  # noqa: PLC0415
    from nestvec.sql.relational.plan_cache import store_relational  # noqa: PLC0415

    try:
        plan = yield from plan_relational(session, parsed.source, parsed.tree, params, reason)
        if isinstance(unsupported, IndexMismatch):
            session.notices.note(f"{reason}: the distances of all rows that match are computed, exactly")
        store_relational(session, parsed, params, _service(session), plan)
        return plan
    except (SqlNotSupported, SqlUnknownName) as error:
        # What DuckDB says of an expression is of the expression itself.
        is_duckdbs = isinstance(unsupported, BeyondMilvus) or (
            isinstance(error, SqlNotSupported) and reason.endswith(" in WHERE")
        )
        raise (None if is_duckdbs else unsupported) or error from None


def plan_select_alone(session: Session, parsed: ParsedStatement, params: Params) -> Steps[Plan | None]:
    """The plan of a SELECT that Milvus carries out by itself; None for another query. Nothing is run.

    Raises SqlError, StoreError.
    """
    lateral = isinstance(parsed.tree, exp.Select) and is_lateral(parsed.tree)
    if _relational_part(session, parsed.tree) or (_may_have_subquery(parsed.source) and not lateral):
        return None  # planning a query with subqueries runs them
    return (yield from plan_select(session, parsed, params))


def columns_of_query(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """The columns of a query, as a result without rows: it is planned for DuckDB, and not run.

    Raises SqlError, StoreError.
    """
    from nestvec.sql.relational.results.without_rows import result_without_rows  # noqa: PLC0415

    plan = yield from _plan_query(session, parsed.source, parsed.tree, params)
    return (yield from result_without_rows(plan))


def select_rows(
    session: Session, source: SourceText, query: exp.Expr, params: Params
) -> Steps[StatementResult]:
    """The rows of a query that is a part of another statement: INSERT … SELECT, COPY (SELECT …) TO.

    ``query`` is its node: a SELECT, WITH, a set operation or VALUES. Raises SqlError, StoreError,
    ServiceError.
    """
    from nestvec.sql.relational.run import run_relational  # noqa: PLC0415

    remembered = frozenset(session.tables)
    try:
        plan = yield from _plan_query(session, source, query, params)
        return (yield from run_relational(session, plan))
    except NestvecError:
        # A collection may have changed since it was read; reading again changes nothing.
        if not (yield from session.refresh_changed(query, remembered)):
            raise
    plan = yield from _plan_query(session, source, query, params)
    return (yield from run_relational(session, plan))


def _plan_query(
    session: Session, source: SourceText, query: exp.Expr, params: Params
) -> Steps[RelationalPlan]:
    from nestvec.sql.relational.plan import plan_relational  # noqa: PLC0415

    try:
        return (yield from plan_relational(session, source, query, params))
    except SqlUnknownName:
        from nestvec.sql.statements.views import expand_views  # noqa: PLC0415

        expanded = yield from expand_views(session, source, query)
        if expanded is None:
            raise
    return (yield from plan_relational(session, source, expanded, params))


def select_typed(
    session: Session, source: SourceText, query: exp.Expr, params: Params
) -> Steps[tuple[StatementResult, pa.Table]]:
    """``select_rows``, also as an Arrow table, with the types that DuckDB gives its columns."""
    from nestvec.sql.relational.run import relational_typed  # noqa: PLC0415

    plan = yield from _plan_query(session, source, query, params)
    return (yield from relational_typed(session, plan))


def _relational_part(session: Session, tree: exp.Expr) -> str:
    """The part of a statement that Milvus has no call for, whatever its collections are; empty for none."""
    # Executions of the same text share one tree, which never changes.
    if _PART_KEY not in tree.meta:
        tree.meta[_PART_KEY] = _relational_construct(tree)
    part: str = tree.meta[_PART_KEY]
    if not session.caller.postgres and not session.caller.tables:
        return part
    from_ = tree.args.get("from_")
    table = from_.this if from_ is not None else None
    if part or not isinstance(table, exp.Table):
        return part
    if identifier_name(table.parts[0]) in session.caller.postgres and len(table.parts) > 1:
        return "a table of PostgreSQL"
    return "a table of the caller" if identifier_name(table.this) in session.caller.tables else ""


def _relational_construct(tree: exp.Expr) -> str:
    if not isinstance(tree, exp.Select):
        return "a set operation" if isinstance(tree, exp.SetOperation) else construct_name(tree)
    if is_lateral(tree):
        return ""
    part = next((name for key, name in _RELATIONAL_PARTS.items() if tree.args.get(key)), "")
    for node in tree.find_all(exp.In, *_RELATIONAL_NODES):
        if not isinstance(node, exp.In):
            part = part or construct_name(node)
        elif isinstance(node.this, exp.Tuple) and node.args.get("query"):
            return "a row of several values"
    from_ = tree.args.get("from_")
    table = from_.this if from_ is not None else None
    if part or table is None:
        return part
    if not isinstance(table, exp.Table):
        return f"{construct_name(table)} in FROM"
    return "" if isinstance(table.this, exp.Identifier) else "a function in FROM"


def plan_select(session: Session, parsed: ParsedStatement, params: Params) -> Steps[Plan]:
    """Plan a SELECT without running it; the collection may be read. Raises SqlError, StoreError."""
    source, select = parsed.source, parsed.tree
    if not isinstance(select, exp.Select):
        raise source.not_supported("EXPLAIN of anything but a SELECT", 0, "Write a SELECT.")
    if is_lateral(select):
        return (yield from _plan_lateral(session, parsed, select, params))
    if _may_have_subquery(source):
        return (yield from _plan_nested(session, parsed, select, params))
    planned = session.plan_cache.lookup(parsed, params, _service(session), session.cached_table)
    if planned is None:
        node = table_node(source, select)
        table = _NO_TABLE if node is None else (yield from session.table(source, node))
        context = Context({}, _service(session))
        plan = plan_query(bind_query(source, select, table, params, context))
        scope = Scope(source, table, table_name(node), params, context)
        planned = CachedPlan(plan, scope, node, shortlist_hint(source))
        session.plan_cache.store(parsed, planned)
    return add_shortlist(planned.plan, planned.scope.table, session.settings, planned.hint, source)


def _plan_nested(
    session: Session, parsed: ParsedStatement, select: exp.Select, params: Params
) -> Steps[Plan]:
    """The plan of a SELECT with subqueries; those in WHERE run first and are replaced by their values."""
    node = table_node(parsed.source, select)
    table = _NO_TABLE if node is None else (yield from session.table(parsed.source, node))
    context = yield from _binding_context(session, parsed.source, select)
    inlined_statement = yield from inline_subqueries(session, parsed, params, run_select)
    tree = inlined_statement.tree if isinstance(inlined_statement.tree, exp.Select) else select
    plan = plan_query(bind_query(inlined_statement.source, tree, table, inlined_statement.params, context))
    plan = add_shortlist(
        plan, table, session.settings, shortlist_hint(inlined_statement.source), inlined_statement.source
    )
    return replace(plan, notes=(*inlined_statement.notes, *plan.notes)) if inlined_statement.notes else plan


def _plan_lateral(
    session: Session, parsed: ParsedStatement, select: exp.Select, params: Params
) -> Steps[Plan]:
    """The plan of a SELECT for each of several queries."""
    lateral = bind_lateral(parsed.source, select, params)
    source, inner = lateral.source, lateral.select
    node = table_node(source, inner)
    if node is None:
        raise source.not_supported(
            "LATERAL without a collection", 0, "Write LATERAL (SELECT … FROM collection …)."
        )
    table = yield from session.table(source, node)
    context = yield from _binding_context(session, source, inner)
    plans = [
        plan_query(bind_query(source, inner, table, lateral.params(params, row), context))
        for row in lateral.rows
    ]
    plan = plan_lateral(parsed.source, select, lateral, plans)
    check_select_consumed(parsed.source, select)
    return add_shortlist(plan, table, session.settings, shortlist_hint(parsed.source), parsed.source)


def _may_have_subquery(source: SourceText) -> bool:
    """Whether the statement may have a subquery."""
    return source.text.upper().count("SELECT") > 1


def _binding_context(session: Session, source: SourceText, select: exp.Select) -> Steps[Context]:
    """The tables of the subqueries in distances, and the service of the settings."""
    tables: dict[str, Table] = {}
    service = _service(session)
    if not _may_have_subquery(source):
        return Context(tables, service)
    clauses = [select.args[name] for name in ("order", "where") if select.args.get(name) is not None]
    distances = [node for clause in clauses for node in clause.find_all(VectorDistance)]
    ranked = [*select.expressions, *distances]
    for subquery in (node for expression in ranked for node in expression.find_all(exp.Subquery)):
        from_ = subquery.this.args.get("from_") if isinstance(subquery.this, exp.Select) else None
        node = from_.this if from_ is not None else None
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            tables[identifier_name(node.this)] = yield from session.table(source, node)
    return Context(tables, service)


def _service(session: Session) -> str:
    """The service that embeds texts for columns without one of their own."""
    return session.settings.service or DEFAULT_SERVICE
