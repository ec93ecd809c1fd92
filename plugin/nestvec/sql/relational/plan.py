"""Plans a statement for DuckDB: which relations it reads, and the statement in DuckDB's dialect.

The steps follow each other: names are resolved on the catalog, what Milvus ranks or filters is taken out,
distances become columns, and what PostgreSQL means otherwise than DuckDB is rewritten.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Final

from sqlglot import exp
from sqlglot.errors import ErrorLevel, OptimizeError, SqlglotError, UnsupportedError
from sqlglot.optimizer.qualify import qualify

from nestvec.milvus.catalog import DYNAMIC_COLUMN, ROW_ID, Table
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.analysis.check import StatementCheck
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.select_list import output_label
from nestvec.sql.parse.dialect import CaseSensitiveSql, PostgresTypes, Rerank, VectorDistance
from nestvec.sql.parse.lateral_types import annotate
from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.relational.arrow_rows import duckdb_type
from nestvec.sql.relational.engine import describe_supplied
from nestvec.sql.relational.errors.checks import check_types
from nestvec.sql.relational.errors.clauses import check_clauses
from nestvec.sql.relational.errors.evaluation_order import has_order
from nestvec.sql.relational.errors.functions import check_functions
from nestvec.sql.relational.names import (
    base_tables,
    check_ambiguous_keys,
    drop_schemas,
    expand_joined_stars,
    file_tables,
    flatten_joins,
    fold_identifiers,
    from_entries,
    is_whole_key,
    name_outputs,
    ordered_names,
    rename_columns,
    resolve_ctes,
    separate_cases,
    source_node,
)
from nestvec.sql.relational.parameters import bind_parameters, check_in_lists
from nestvec.sql.relational.planning import Planning, has_decimals
from nestvec.sql.relational.postgres import PostgresTable
from nestvec.sql.relational.rankings import take_candidates, take_rankings
from nestvec.sql.relational.relations import (
    CollectionScan,
    DuckdbStatement,
    OutputTypes,
    RankingScan,
    RelationalPlan,
    SuppliedRelation,
)
from nestvec.sql.relational.results.dependent_columns import group_dependent_columns
from nestvec.sql.relational.results.equal_documents import compare_documents
from nestvec.sql.relational.results.hypothetical_sets import write_hypothetical_sets
from nestvec.sql.relational.results.schema import relation_schema, type_values, widen_recursion
from nestvec.sql.relational.results.tied_rows import limit_with_ties
from nestvec.sql.relational.results.types import output_types
from nestvec.sql.relational.results.whole_rows import write_rows
from nestvec.sql.relational.rewrites import rewrite_for_duckdb
from nestvec.sql.relational.rewrites.nesting import DEEP
from nestvec.sql.relational.rewrites.vectors import write_vectors
from nestvec.sql.relational.scans import add_scans, cte_query
from nestvec.sql.relational.table_functions import expand_table_functions, name_unnested, qualify_series
from nestvec.sql.relational.vectors import replace_distances, use_family_members, use_operators
from nestvec.sql.session import Session
from nestvec.sql.settings import DEFAULT_SERVICE
from nestvec_schemas.errors import SqlDataError, nearest

_ALIAS_CLAUSES: Final = ("order", "group", "distinct")
"""Clauses whose keys may be names of columns of the result."""


def plan_relational(
    session: Session, source: SourceText, query: exp.Expr, params: Params, reason: str = ""
) -> Steps[RelationalPlan]:
    """Plan a SELECT, a set operation or VALUES for DuckDB; collections are read, files described.

    ``reason`` says why Milvus alone does not do it.
    Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported, SqlSyntaxError, StoreError.
    """
    planning = Planning(source, params, session.settings, session.settings.service or DEFAULT_SERVICE)
    tree = use_operators(_as_select(query.copy()))
    _check_supported(source, tree)
    check_functions(source, tree)
    check_clauses(source, tree)
    write_hypothetical_sets(tree)
    check_in_lists(source, tree, params)
    resolve_ctes(source, tree)
    flatten_joins(source, tree)
    by_node = yield from _read_tables(session, planning, tree)
    drop_schemas(source, tree, by_node)
    use_family_members(tree, lambda column: _table_of(column, by_node))
    tree = take_rankings(planning, tree, by_node)
    yield from _name_relations(session, planning, tree, by_node)
    expand_table_functions(source, tree, {name for schema in planning.schemas.values() for name in schema})
    type_values(tree)
    tree = _qualified(planning, bind_parameters(source, tree, params))
    write_rows(planning, tree)
    group_dependent_columns(planning, tree)
    limit_with_ties(source, tree)
    take_candidates(planning, tree)
    tree, distances = replace_distances(planning, tree)
    add_scans(planning, tree, distances)
    plan = replace(_finished(planning, tree), reason=reason, source=source, query=query)
    StatementCheck(source, planning.tables.values()).check(query)
    return plan


def _as_select(query: exp.Expr) -> exp.Expr:
    """VALUES as the SELECT that it is short for."""
    if not isinstance(query, exp.Values):
        return query
    width = max((len(row.expressions) for row in query.expressions), default=0)
    columns = [exp.to_identifier(f"column{at}", quoted=True) for at in range(1, width + 1)]
    order = {key: query.args.pop(key) for key in ("with_", "order", "limit", "offset") if query.args.get(key)}
    query.set("alias", exp.TableAlias(this=exp.to_identifier("values", quoted=True), columns=columns))
    return exp.Select(expressions=[exp.Star()], from_=exp.From(this=query), **order)


def _check_supported(source: SourceText, tree: exp.Expr) -> None:
    for node in tree.walk():
        if isinstance(node, Rerank):
            continue
        if isinstance(node, exp.Lock):
            raise source.not_supported("a row lock (FOR UPDATE)", node, "Milvus has no transactions.")
        if isinstance(node, exp.LimitOptions) and node.args.get("percent"):
            raise source.syntax_error(
                "PostgreSQL has no FETCH FIRST … PERCENT", node, "Write a number of rows."
            )
        if isinstance(node, exp.DML):
            word = node.key.upper()
            raise source.not_supported(
                f"{word} in WITH",
                node,
                f"Run the {word} alone: RETURNING gives its rows, for another statement.",
            )
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Dot):
            raise source.syntax_error("the name of a table has too many parts", node, "Name a collection.")
        if isinstance(node, exp.Select) and not node.expressions:
            raise source.syntax_error("the select list is empty", node, "Name the columns, or write *.")
        if isinstance(node, exp.Select) and node.args.get("into") is not None:
            raise source.not_supported("SELECT INTO", node, "Write CREATE TABLE … AS SELECT ….")


def _read_tables(session: Session, planning: Planning, tree: exp.Expr) -> Steps[dict[int, Table]]:
    """The collections that FROM names, by the ids of their nodes."""
    tables: dict[int, Table] = {}
    for node in list(base_tables(tree)):
        if node.args.get("db") is None and identifier_name(node.this) in session.caller.tables:
            continue
        if _postgres_table(session, node) is not None:
            continue
        if node.args.get("catalog") is not None:
            raise planning.source.unknown_name(
                "no server of this name is attached",
                node.catalog,
                node,
                "connection.attach_postgres() does it.",
            )
        if node.args.get("db") is not None and identifier_name(node.args["db"]) != "public":
            raise planning.source.unknown_name(
                "there is no schema of this name", node.db, node, "Collections are in the schema public."
            )
        node.set("db", None)
        tables[id(node)] = yield from session.table(planning.source, node)
    return tables


def _table_of(column: exp.Column, tables: dict[int, Table]) -> Table | None:
    if column.table:
        entry = source_node(column)
        return tables.get(id(entry)) if entry is not None else None
    name = identifier_name(column.this)
    return next((table for table in tables.values() if table.column(name) is not None), None)


def _name_relations(
    session: Session, planning: Planning, tree: exp.Expr, by_node: dict[int, Table]
) -> Steps[None]:
    """Give every collection, table and file in FROM a name of its own, and its columns."""
    for node in list(base_tables(tree)):
        original = identifier_name(node.this)
        if original in planning.schemas:
            continue
        external = _postgres_table(session, node)
        table = by_node.get(id(node))
        name = f"scan_{len(planning.schemas)}"
        if table is not None:
            planning.tables[name] = table
            planning.names[name] = table.name
            hidden = {lexical.column for lexical in table.lexical}
            shown = [column for column in table.columns if column.name not in hidden]
            shown += [*([DYNAMIC_COLUMN] if table.dynamic else ()), *([ROW_ID] if table.has_row_id else ())]
            planning.schemas[name] = {column.name: duckdb_type(column) for column in shown}
        elif external is not None:
            columns = yield from _describe_postgres(planning, node, external)
            planning.relations.append(SuppliedRelation(name, postgres=external, columns=columns))
            planning.schemas[name] = columns
        else:
            data = session.caller.tables[original]
            planning.relations.append(SuppliedRelation(name, data))
            planning.schemas[name] = yield BlockingCall(partial(describe_supplied, data=data))
        _rename(node, name, original)
        rename_columns(planning.source, node, planning.columns(name))
    for node in list(file_tables(tree)):
        if not session.caller.files:
            raise planning.source.not_supported(
                "reading files of the server", node, "Load the file with COPY … FROM STDIN."
            )
        name, file_call = f"file_{len(planning.schemas)}", node.this.sql(dialect="duckdb")
        columns = yield BlockingCall(partial(describe_supplied, call=file_call))
        planning.relations.append(SuppliedRelation(name, call=file_call, columns=columns))
        planning.schemas[name] = columns
        label = node.this.sql_name().lower() if isinstance(node.this, exp.Func) else "file"
        _rename(node, name, label)


def _postgres_table(session: Session, node: exp.Table) -> PostgresTable | None:
    """The table of an attached PostgreSQL that a node names, as server.schema.table or server.table."""
    parts = [identifier_name(part) for part in node.parts]
    address = session.caller.postgres.get(parts[0]) if len(parts) in (2, 3) else None
    if address is None:
        return None
    return PostgresTable(parts[0], address, parts[1] if len(parts) == 3 else "public", parts[-1])


def _describe_postgres(planning: Planning, node: exp.Table, table: PostgresTable) -> Steps[dict[str, str]]:
    try:
        columns: dict[str, str] = yield BlockingCall(partial(describe_supplied, postgres=table))
    except SqlDataError as error:
        if "does not contain any columns" not in str(error.cause):
            raise
        raise planning.source.unknown_name(
            f"PostgreSQL has no table of this name in {table.server}",
            f"{table.schema}.{table.table}",
            node,
            "Write SERVER.SCHEMA.TABLE.",
        ) from None
    return columns


def _rename(node: exp.Table, name: str, original: str) -> None:
    identifier = exp.to_identifier(name, quoted=True)
    identifier.meta.update(node.this.meta)
    node.set("this", identifier)
    node.set("db", None)
    node.set("catalog", None)
    if node.args.get("alias") is None:
        node.set("alias", exp.TableAlias(this=exp.to_identifier(original, quoted=True)))


def _qualified(planning: Planning, tree: exp.Expr) -> exp.Expr:
    """The tree with every column qualified, * expanded, and the outputs named. Raises SqlUnknownName."""
    names = {column for columns in planning.schemas.values() for column in columns}
    expand_joined_stars(tree, {name: planning.columns(name) for name in planning.schemas})
    name_outputs(planning.source, tree)
    name_unnested(tree)
    fold_identifiers(tree, names)
    qualify_series(tree, names)
    keys = ordered_names(tree)
    try:
        qualified: exp.Expr = qualify(
            tree,
            schema=relation_schema(planning, names_of=tree),
            dialect=CaseSensitiveSql,
            validate_qualify_columns=False,
            expand_alias_refs=False,
        )
    except OptimizeError as error:
        raise _unresolved(planning, tree, str(error)) from None
    except (SqlglotError, ValueError, AssertionError) as error:
        raise planning.source.not_supported("this statement", 0, str(error)[:200]) from None
    tables = {node.alias_or_name for node in qualified.find_all(exp.Table, exp.DerivedTable, exp.CTE)}
    for column in list(qualified.find_all(exp.Column)):
        if column.table and column.table not in tables and not column.args.get("db"):
            raise planning.source.unknown_name(
                "FROM has no such table", column.table, column, "Name a table of FROM, or its alias."
            )
        if not column.table and not _resolve(planning, column) and not _is_alias(column):
            raise _unknown_column(planning, column)
    check_ambiguous_keys(planning.source, keys)
    return qualified


def _resolve(planning: Planning, column: exp.Column) -> bool:
    """Qualify a name that sqlglot leaves alone, as in HAVING; whether one table has it."""
    select = column.find_ancestor(exp.Select)
    clauses = (exp.Having, exp.Where, exp.AggFunc, exp.Order, exp.Distinct)
    if select is None or is_whole_key(column) or not any(map(column.find_ancestor, clauses)):
        return False
    holders = [entry for entry in from_entries(select) if column.name in _columns_of(planning, entry)]
    if len(holders) == 1:
        column.set("table", exp.to_identifier(holders[0].alias_or_name, quoted=True))
    return len(holders) == 1


def _columns_of(planning: Planning, entry: exp.Expr) -> Collection[str]:
    if isinstance(entry, exp.DerivedTable):
        return entry.named_selects
    if entry.name in planning.schemas:
        return planning.schemas[entry.name]
    query = cte_query(entry, entry)
    return query.named_selects if isinstance(query, exp.Query) else ()


def _is_alias(column: exp.Column) -> bool:
    """Whether an unqualified name is one of the select list, or of a function in FROM."""
    child: exp.Expr = column
    ancestor = column.parent
    while ancestor is not None:
        if isinstance(ancestor, exp.Query):
            if child.arg_key in _ALIAS_CLAUSES and column.name in ancestor.named_selects:
                return is_whole_key(column)
            if isinstance(ancestor, exp.Select) and any(
                not isinstance(entry, (exp.Table, exp.Subquery))
                or not isinstance(entry.this, (exp.Identifier, exp.Query))
                for entry in from_entries(ancestor)
            ):
                return True
        child, ancestor = ancestor, ancestor.parent
    return False


def _unresolved(planning: Planning, tree: exp.Expr, message: str) -> Exception:
    name = message.rsplit(":", 1)[-1].strip().strip("'\"")
    column = next((node for node in tree.find_all(exp.Column) if node.name == name), None)
    if column is not None:
        return _unknown_column(planning, column)
    return planning.source.unknown_name("FROM has no such table or column", name, 0, "Check the names.")


def _unknown_column(planning: Planning, column: exp.Column) -> Exception:
    offered = dict.fromkeys(column for name in planning.schemas for column in planning.columns(name))
    holders = [name for name, columns in planning.schemas.items() if column.name in columns]
    if len(holders) > 1 and not column.table:
        return planning.source.unknown_name(
            "several tables have a column of this name", column.name, column, "Write TABLE.COLUMN."
        )
    available = f"Available: {', '.join(list(offered)[:40])}." if offered else "Add FROM collection."
    return planning.source.unknown_name(
        "there is no such column", column.name, column, available + nearest(column.name, offered)
    )


def _finished(planning: Planning, tree: exp.Expr) -> RelationalPlan:
    """The plan, with the statement in DuckDB's dialect."""
    for name, count in planning.residuals.items():
        at = next(n for n, relation in enumerate(planning.relations) if relation.name == name)
        ranking = planning.relations[at]
        if isinstance(ranking, RankingScan):
            planning.relations[at] = replace(ranking, residual=_duckdb_statement(planning, count))
    columns = tuple(map(output_label, tree.named_selects)) if isinstance(tree, exp.Query) else ()
    stored = {column for schema in planning.schemas.values() for column in schema}
    ambiguous = separate_cases(tree, stored)
    if ambiguous is not None:
        raise planning.source.not_supported(
            f"columns whose names differ from {ambiguous} in case alone",
            0,
            "Read only one of them.",
        )
    schema = relation_schema(planning, exact=True)
    annotated = annotate(tree, schema, PostgresTypes)
    output = OutputTypes(has_decimals(planning), output_types(annotated))
    statement = _duckdb_statement(planning, annotated)
    rank = {RankingScan: 0, SuppliedRelation: 1, CollectionScan: 2}
    ordered = sorted(planning.relations, key=lambda relation: rank[type(relation)])
    return RelationalPlan(
        statement.sql,
        columns,
        tuple(ordered),
        targets=planning.targets,
        output=output,
        tree=statement.tree,
    )


def _duckdb_statement(planning: Planning, tree: exp.Expr) -> DuckdbStatement:
    annotated = annotate(tree, relation_schema(planning), CaseSensitiveSql)
    check_types(planning.source, annotated)
    vectors = write_vectors(planning.source, annotated)
    rewritten = rewrite_for_duckdb(compare_documents(planning.source, widen_recursion(vectors)))
    if rewritten.find(VectorDistance) is not None:
        raise planning.source.not_supported("this distance", 0, "Measure a vector column.")
    try:
        # What sqlglot cannot say in DuckDB's dialect it would leave out.
        sql: str = rewritten.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise planning.source.not_supported("this statement", 0, str(error)[:200]) from None
    except RecursionError:
        raise planning.source.not_supported("an expression nested this deeply", 0, DEEP) from None
    return DuckdbStatement(sql, rewritten if has_order(rewritten) else None)
