"""SELECT, bound to its table: FROM, WHERE, LIMIT, and the clauses of the other files."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from sqlglot import TokenType, exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.conditions import Condition, bind_condition
from nestvec.sql.bind.conditions.nodes import And
from nestvec.sql.bind.groups import grouping_column
from nestvec.sql.bind.highlight import Highlight
from nestvec.sql.bind.order import bind_ranking, bind_sort_keys, list_sort_keys
from nestvec.sql.bind.params import PARAMETER_NODES, Params
from nestvec.sql.bind.query import MAX_WINDOW, Ordering, Query, WindowExceeded
from nestvec.sql.bind.scope import Context, Scope
from nestvec.sql.bind.select_list import bind_select_items, list_select_items
from nestvec.sql.bind.thresholds import Threshold, bind_threshold, split_thresholds
from nestvec.sql.bind.values import MAX_EXPRESSION_DEPTH, BeyondMilvus, RowCount, ValueBinder, not_native
from nestvec.sql.bind.vectors.ranking import RerankScore
from nestvec.sql.bind.vectors.rerank import bind_rerank
from nestvec.sql.parse.completeness import check_select_consumed
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts, without_parens
from nestvec_schemas.errors import SqlUnknownName

_REFUSED_PARTS: Final[dict[str, tuple[str, TokenType | None]]] = {
    "with_": ("WITH (a common table expression)", TokenType.WITH),
    "into": ("SELECT INTO", TokenType.INTO),
    "joins": ("JOIN", TokenType.JOIN),
    "laterals": ("LATERAL", TokenType.LATERAL),
    "windows": ("WINDOW", TokenType.WINDOW),
    "qualify": ("QUALIFY", TokenType.QUALIFY),
    "locks": ("a row lock (FOR UPDATE)", TokenType.FOR),
    "sample": ("TABLESAMPLE", TokenType.TABLE_SAMPLE),
    "hint": ("a hint", TokenType.HINT),
    "pivots": ("PIVOT", None),
}
"""Parts of a SELECT that are refused, with their names in SQL; others are refused by sqlglot's name."""

_SUPPORTED_FORM: Final = (
    "nestvec supports SELECT … FROM one collection WHERE … GROUP BY … ORDER BY … LIMIT n OFFSET m."
)
_SUPPORTED_PARTS: Final = (
    "expressions", "from_", "where", "order", "limit", "offset", "distinct", "group", "having",
)  # fmt: skip


_NO_CONTEXT = Context()


def bind_query(
    source: SourceText, select: exp.Select, table: Table, params: Params, context: Context = _NO_CONTEXT
) -> Query:
    """Bind a SELECT to its table, which has no columns if there is no FROM.

    Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported or SqlSyntaxError, each with a position.
    """
    scope = Scope(source, table, table_name(table_node(source, select)), params, context)
    limit, offset = bind_window(source, select, params)
    items = list_select_items(scope, select)
    unbound_keys = list_sort_keys(scope, select, items)
    ranking = bind_ranking(scope, unbound_keys)
    if ranking is not None:
        check_window(source, select, limit, offset)
    grouped = select.args.get("group")
    _check_clauses(source, select, ranked=ranking is not None)
    with _without_aliases(source, select):
        where, thresholds = _where(ValueBinder(scope, "WHERE", ranking), select)
    rerank = bind_rerank(scope, select.args.get("order"), ranking)
    binder = ValueBinder(
        scope,
        "the select list",
        ranking if rerank is None else RerankScore(),
        counts=ranking is None and bool(table.name),
        best_of_groups=grouped is not None,
    )
    outputs = bind_select_items(binder, items)
    if len({output.expression for output in outputs if isinstance(output.expression, Highlight)}) > 1:
        raise source.not_supported("two different HIGHLIGHT", select, "Milvus marks a text in one way.")
    counts = any(isinstance(output.expression, RowCount) for output in outputs)
    if counts and (unbound_keys or not all(isinstance(o.expression, RowCount) for o in outputs)):
        raise not_native(source, select.find(exp.Count) or select, binder.clause)
    keys = bind_sort_keys(replace(binder, clause="ORDER BY", counts=False), ranking, unbound_keys)
    query = Query(
        table,
        outputs,
        where,
        Ordering(ranking, keys, thresholds, rerank),
        limit=limit,
        offset=offset,
        counts=counts,
    )
    if grouped is not None and ranking is not None:
        query = replace(query, group_column=grouping_column(scope, grouped, items, ranking))
    if rerank is not None and (thresholds or query.group_column or len(keys) > 1):
        raise source.not_supported(
            "RERANK BY with a threshold, GROUP BY, DISTINCT or a second key",
            select.args["order"],
            "Remove RERANK BY or the other clause.",
        )
    check_select_consumed(source, select)
    return query


_COMPUTED_CLAUSES: Final = {
    "group": ("GROUP BY", TokenType.GROUP_BY),
    "having": ("HAVING", TokenType.HAVING),
    "distinct": ("DISTINCT", TokenType.DISTINCT),
}
"""Clauses that DuckDB carries out, with their names in SQL."""


def _check_clauses(source: SourceText, select: exp.Select, *, ranked: bool) -> None:
    """Raise SqlNotSupported for a clause that Milvus has no call for, BeyondMilvus where DuckDB does it."""
    for part, (name, token) in _COMPUTED_CLAUSES.items():
        if select.args.get(part) is None or (ranked and part == "group"):
            continue
        if ranked:
            raise source.not_supported(
                f"{name} with ORDER BY a distance",
                token,
                "Write GROUP BY column for the best row per value, and thresholds in WHERE.",
            )
        raise BeyondMilvus(
            f"{name} is not supported",
            next_step="Milvus returns rows; DuckDB groups them.",
            statement=source.text,
            position=source.position(token),
        )


def _where(binder: ValueBinder, select: exp.Select) -> tuple[Condition | None, tuple[Threshold, ...]]:
    """The filter for Milvus, and the thresholds on the ranking."""
    where = select.args.get("where")
    if where is None:
        return None, ()
    if not binder.scope.table.columns:
        raise binder.scope.source.not_supported("WHERE without FROM", where, "Add FROM collection.")
    columns, thresholds = split_thresholds(where.this)
    if not thresholds:
        return bind_condition(binder.scope, where.this), ()
    bound_thresholds = tuple(bind_threshold(binder, term) for term in thresholds)
    terms = [bind_condition(binder.scope, term) for term in columns]
    bound_columns = [condition for condition in terms if condition is not None]
    condition = And(tuple(bound_columns)) if len(bound_columns) > 1 else next(iter(bound_columns), None)
    return condition, bound_thresholds


@contextmanager
def _without_aliases(source: SourceText, select: exp.Select) -> Iterator[None]:
    """Explain the error of a name in WHERE that is an alias of the select list."""
    try:
        yield
    except SqlUnknownName as error:
        aliases = {
            identifier_name(item.args["alias"]) for item in select.expressions if isinstance(item, exp.Alias)
        }
        if error.value not in aliases:
            raise
        raise source.unknown_name(
            "a select list alias cannot be used in WHERE",
            str(error.value),
            error.position,
            "Write its expression instead.",
        ) from None


def table_node(source: SourceText, select: exp.Select) -> exp.Table | None:
    """The table in FROM; None without it. Raises SqlNotSupported for several, or for anything but a name."""
    for part in stray_parts(select, _SUPPORTED_PARTS):
        construct, token = _REFUSED_PARTS.get(part, (part.strip("_").replace("_", " ").upper(), None))
        value = select.args[part]
        part_node = value[0] if isinstance(value, list) else value
        position = token if source.position(token) is not None else part_node
        if part == "joins" and source.position(TokenType.JOIN) is None:
            construct = "more than one table in FROM"
        raise source.not_supported(
            construct, position if isinstance(position, (exp.Expr, TokenType)) else 0, _SUPPORTED_FORM
        )
    from_ = select.args.get("from_")
    return None if from_ is None else _check_table(source, from_.this)


def _check_table(source: SourceText, table: exp.Expr) -> exp.Table:
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise source.not_supported(f"{construct_name(table)} in FROM", table, "Name one collection.")
    stray = stray_parts(table, ("this", "alias"))
    if stray:
        constructs = {
            "db": "a schema-qualified table",
            "joins": "JOIN",
            "only": "ONLY",
            "sample": "TABLESAMPLE",
        }
        construct = constructs.get(stray[0], stray[0].upper())
        raise source.not_supported(construct, table, "Name one collection.")
    alias = table.args.get("alias")
    if alias is not None and not isinstance(alias.this, exp.Identifier):
        raise source.not_supported("this alias", alias, "Write a name.")
    if alias is not None and stray_parts(alias, ("this",)):
        raise source.not_supported("column names after a table alias", alias, "Use AS in the select list.")
    return table


def table_name(node: exp.Table | None) -> str:
    """The name of the table in the statement; empty without FROM."""
    if node is None:
        return ""
    alias = node.args.get("alias")
    # Milvus resolves the alias of a collection, so it is a name of the table too.
    return identifier_name(alias.this) if alias is not None else identifier_name(node.this)


def bind_window(source: SourceText, select: exp.Select, params: Params) -> tuple[int | None, int]:
    """LIMIT (None without it) and OFFSET. Raises SqlTypeMismatch, SqlNotSupported."""
    limit = _count(source, select.args.get("limit"), "LIMIT", params)
    offset = _count(source, select.args.get("offset"), "OFFSET", params) or 0
    if offset and source.position(TokenType.OFFSET) is None:
        raise source.syntax_error("LIMIT takes one number", TokenType.LIMIT, "Write LIMIT n OFFSET m.")
    return limit, offset


def check_window(source: SourceText, select: exp.Select, limit: int | None, offset: int) -> None:
    """Check LIMIT and OFFSET of a ranking. Raises SqlTypeMismatch beyond MAX_WINDOW, SqlNotSupported."""
    if limit is None:
        raise source.not_supported(
            "ORDER BY a distance without LIMIT", TokenType.ORDER_BY, f"Add LIMIT n, at most {MAX_WINDOW:,}."
        )
    if limit + offset > MAX_WINDOW:
        at = select.args.get("limit") or select.args.get("offset")
        raise WindowExceeded(
            f"LIMIT plus OFFSET of a ranking exceeds Milvus's limit of {MAX_WINDOW:,}",
            value=limit + offset,
            next_step="Use a smaller LIMIT or OFFSET, or omit the distance from ORDER BY.",
            statement=source.text,
            position=source.position(at),
        )


def _count(source: SourceText, node: exp.Expr | None, name: str, params: Params) -> int | None:
    """The number after LIMIT or OFFSET."""
    if node is None:
        return None
    if isinstance(node, exp.Fetch):
        raise BeyondMilvus(
            "FETCH FIRST … WITH TIES is not supported",
            next_step="Write LIMIT n.",
            statement=source.text,
            position=source.position(TokenType.FETCH),
        )
    if stray_parts(node, ("expression",)):
        raise source.not_supported(f"{name} with more than a number", node, f"Write {name} n.")
    value = node.args["expression"]
    number = whole_number(value, lambda parameter: params.value(source, parameter))
    if number is not None and number >= 0:
        return min(number, 1 << 62)
    inner = without_parens(value)
    shown = str(params.value(source, inner) if isinstance(inner, PARAMETER_NODES) else value.sql())[:40]
    if (number is not None and number < 0) or isinstance(inner, exp.Neg):
        raise source.type_mismatch(f"{name} must not be negative", shown, value, f"Write {name} 10.")
    if isinstance(inner, PARAMETER_NODES) and params.value(source, inner) is None:
        raise not_native(source, inner, name)  # NULL is no limit
    if isinstance(inner, PARAMETER_NODES):
        raise source.type_mismatch(f"{name} takes a non-negative integer", shown, inner, "Pass one.")
    if number is None and not isinstance(inner, (exp.Literal, exp.Neg)):
        raise not_native(source, inner, name)
    raise source.type_mismatch(
        f"{name} takes an integer literal or a parameter", shown, value, f"Write {name} 10."
    )


_INTEGER_CASTS: Final = (exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT)
_ARITHMETIC: Final[dict[type[exp.Expr], Callable[[int, int], int]]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
}


def whole_number(
    node: exp.Expr, value_of: Callable[[exp.Expr], object], depth: int = MAX_EXPRESSION_DEPTH
) -> int | None:
    """The whole number that LIMIT or OFFSET gives, as ``10``, ``:n``, ``:n::int`` or ``:page * 10``.

    ``value_of`` gives the values of parameters. None for any other expression, and for one nested deeper.
    """
    node = without_parens(node)
    while isinstance(node, exp.Cast) and node.args["to"].this in _INTEGER_CASTS:
        node = without_parens(node.this)
    if isinstance(node, exp.Literal):
        return int(node.name[:18]) if not node.is_string and node.name.isdecimal() else None
    if isinstance(node, PARAMETER_NODES):
        value = value_of(node)
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    combine = _ARITHMETIC.get(type(node))
    if combine is None or depth == 0:
        return None
    left, right = (whole_number(side, value_of, depth - 1) for side in (node.this, node.args["expression"]))
    return None if left is None or right is None else combine(left, right)
