"""Clauses that PostgreSQL refuses where DuckDB or sqlglot would give them another meaning."""

from __future__ import annotations

from typing import Final

from sqlglot import TokenType, exp

from nestvec.sql.parse.source import SourceText, first_select, identifier_name, without_parens
from nestvec.sql.relational.errors.levels import check_siblings, is_window_function
from nestvec.sql.relational.names import from_entries, function_label
from nestvec.sql.relational.results.hypothetical_sets import HYPOTHETICAL
from nestvec_schemas.base_error import ABSENT

_ORDERED_SETS: Final = (exp.PercentileCont, exp.PercentileDisc, exp.Mode)
_BEFORE_OPERATOR: Final = ("order", "limit", "offset")


def check_clauses(source: SourceText, tree: exp.Expr) -> None:
    """Raise SqlSyntaxError, SqlUnknownName or SqlNotSupported for a clause that PostgreSQL does not take.

    The tree is that of the parser, before names are resolved.
    """
    check_siblings(source, tree)
    for node in tree.walk():
        if isinstance(node, exp.Window):
            _check_window(source, node)
        elif isinstance(node, exp.WithinGroup):
            _check_ordered_set(source, node)
        elif isinstance(node, exp.SetOperation):
            _check_operand(source, node)
        elif isinstance(node, exp.Join):
            _check_join(source, node)
        elif isinstance(node, exp.Group):
            for key in node.expressions:
                _check_position(source, key, "GROUP BY")
        elif isinstance(node, exp.Order) and isinstance(node.parent, exp.Query):
            for ordered in node.expressions:
                _check_position(source, ordered.this, "ORDER BY")
        elif isinstance(node, exp.TableAlias):
            _check_columns(source, node)
        elif isinstance(node, exp.Select):
            _check_distinct_on(source, node)
        elif isinstance(node, exp.CTE):
            _check_recursion(source, node)


def _check_window(source: SourceText, window: exp.Window) -> None:
    """Windows of functions, and those that WINDOW names."""
    function, base, spec = window.this, window.args.get("alias"), window.args.get("spec")
    if isinstance(function, exp.Filter):
        function = function.this
    if isinstance(function, exp.AggFunc) and isinstance(function.this, exp.Distinct):
        raise source.not_supported(
            "DISTINCT in a window function", function, "Compute it over a subquery with DISTINCT."
        )
    if base is not None and window.args.get("partition_by"):
        cause = f'cannot override PARTITION BY clause of window "{base.name}"'
        raise source.syntax_error(cause, window, "Write it in WINDOW alone.")
    offset = function.args.get("offset") if isinstance(function, exp.NthValue) else None
    if offset is not None and _whole_number(offset) is not None and (_whole_number(offset) or 0) < 1:
        raise source.data_error(
            "argument of nth_value must be greater than zero", offset.sql(), offset, "Write nth_value(x, 1)."
        )
    if isinstance(spec, exp.WindowSpec):
        for name in ("start", "end"):
            _check_bound(source, spec.args.get(name), spec.args.get("kind") or "ROWS")


def _check_bound(source: SourceText, bound: object, kind: str) -> None:
    if not isinstance(bound, exp.Expr):
        return
    if bound.find(exp.Column) is not None:
        cause = f"argument of {kind} must not contain variables"
        raise source.syntax_error(cause, bound, "Write a number of rows.")
    if (_whole_number(bound) or 0) < 0:
        raise source.data_error(
            "the offset of a frame must not be negative", bound.sql(), bound, "Write PRECEDING or FOLLOWING."
        )


def _check_ordered_set(source: SourceText, node: exp.WithinGroup) -> None:
    if isinstance(node.this, HYPOTHETICAL):
        _check_hypothetical(source, node)
    elif isinstance(node.this, exp.AggFunc) and not isinstance(node.this, _ORDERED_SETS):
        name = node.this.sql_name().lower()
        raise source.type_mismatch(
            f"{name}() does not take WITHIN GROUP", ABSENT, node, f"Write {name}(x ORDER BY y)."
        )


def _check_hypothetical(source: SourceText, node: exp.WithinGroup) -> None:
    name, values, keys = function_label(node.this).lower(), node.this.expressions, node.expression.expressions
    if len(values) != len(keys):
        counts = f"{len(values)} for {len(keys)}"
        cause = f"{name}() has a value for each key of its ORDER BY"
        raise source.type_mismatch(cause, counts, node, f"Write {name}(5) WITHIN GROUP (ORDER BY x).")
    if isinstance(node.this, exp.DenseRank) and len(keys) > 1:
        raise source.not_supported("dense_rank() of several values", node, "Count the rows of a subquery.")


def _check_operand(source: SourceText, operation: exp.SetOperation) -> None:
    query = operation.this
    clause = next((name for name in _BEFORE_OPERATOR if query.args.get(name) is not None), None)
    if isinstance(query, (exp.Select, exp.SetOperation)) and clause is not None:
        raise source.syntax_error(
            f"{clause.upper()} before {operation.key.upper()}",
            query.args[clause],
            "Write the query in parentheses, or the clause at the end.",
        )


def _check_join(source: SourceText, join: exp.Join) -> None:
    """A JOIN has a condition, unless it is a comma, NATURAL or CROSS."""
    if join.args.get("on") is not None and join.method:
        raise source.syntax_error("NATURAL JOIN with a condition", join.args["on"], "Leave NATURAL out.")
    if join.args.get("on") is not None or join.args.get("using") or join.method or join.kind == "CROSS":
        return
    position = source.position(join.this)
    before = [token for token in source.tokens if position is not None and token.start < position]
    while before and before[-1].token_type in (TokenType.L_PAREN, TokenType.LATERAL):
        before.pop()
    if join.side or join.kind == "INNER" or (before and before[-1].token_type == TokenType.JOIN):
        raise source.syntax_error("JOIN without a condition", join.this, "Write ON …, or CROSS JOIN.")


def _check_position(source: SourceText, key: exp.Expr, clause: str) -> None:
    """A number is the position of a column of the result."""
    number = _whole_number(key)
    if number is not None and number < 1:
        raise source.syntax_error(
            f"{clause} gives a position that the select list does not have",
            key,
            "Count the columns from 1.",
        )


def _whole_number(node: exp.Expr) -> int | None:
    """The value of a constant; None for any other expression."""
    sign = -1 if isinstance(node, exp.Neg) else 1
    number = node.this if isinstance(node, exp.Neg) else node
    is_whole = isinstance(number, exp.Literal) and not number.is_string and number.name.isdecimal()
    return sign * int(number.name) if is_whole else None


def _check_columns(source: SourceText, alias: exp.TableAlias) -> None:
    """An alias names no more columns than the query has."""
    parent = alias.parent
    query = first_select(parent.this) if isinstance(parent, (exp.Subquery, exp.CTE)) else None
    columns = alias.args.get("columns") or []
    if query is None or any(_is_star(item) for item in query.expressions):
        return
    if len(columns) > len(query.expressions) > 0:
        raise source.syntax_error(
            f"{alias.name} has {len(query.expressions)} columns, but {len(columns)} names",
            alias.this or columns[0],
            "Leave names out.",
        )


def _is_star(item: exp.Expr) -> bool:
    return isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))


def _check_distinct_on(source: SourceText, select: exp.Select) -> None:
    """DISTINCT ON keeps the first rows of an order that begins with its keys."""
    distinct, order = select.args.get("distinct"), select.args.get("order")
    on = distinct.args.get("on") if distinct is not None else None
    if on is None or order is None:
        return
    keys = [_listed(select, key) for key in (on.expressions if isinstance(on, exp.Tuple) else [on])]
    for ordered in order.expressions[: len(keys)]:
        if _listed(select, ordered.this) not in keys:
            raise source.syntax_error(
                "the keys of DISTINCT ON must come first in ORDER BY", ordered, "Order by them first."
            )


def _listed(select: exp.Select, key: exp.Expr) -> exp.Expr:
    """A key without what may be written or not: a position, the name of a column of the result, its table."""
    key = without_parens(key)
    number = _whole_number(key)
    if number is not None and 0 < number <= len(select.expressions):
        return _without_table(select.expressions[number - 1].unalias())
    if isinstance(key, exp.Column) and isinstance(key.this, exp.Identifier):
        name = identifier_name(key.this)
        matches = [item for item in select.expressions if isinstance(item, exp.Alias) and item.alias == name]
        return _without_table(matches[0].this if matches and not key.table else key)
    return key


def _without_table(node: exp.Expr) -> exp.Expr:
    node = without_parens(node)
    is_name = isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier)
    return exp.column(identifier_name(node.this)) if is_name else node


def _check_recursion(source: SourceText, cte: exp.CTE) -> None:
    """A recursive query reads itself once, in rows that it neither counts nor sums up."""
    with_, body = cte.parent, cte.this
    if not isinstance(with_, exp.With) or not with_.args.get("recursive"):
        return
    name = identifier_name(cte.args["alias"].this)
    references = [
        table
        for table in body.find_all(exp.Table)
        if isinstance(table.this, exp.Identifier)
        and identifier_name(table.this) == name
        and table.args.get("db") is None
    ]
    if not references or not isinstance(body, exp.SetOperation):
        return
    if not isinstance(body, exp.Union):
        word = body.key.upper()
        raise source.syntax_error(f"a recursive query has UNION, not {word}", references[0], "Write UNION.")
    for read in references:
        select = read.find_ancestor(exp.Select)
        if isinstance(select, exp.Select) and len(_reads_of(select, name)) > 1:
            raise source.syntax_error(
                f'recursive reference to query "{name}" must not appear more than once', read, "Join others."
            )
        aggregate = next((item for item in select.selects if _aggregates(item)), None) if select else None
        if aggregate is not None:
            raise source.syntax_error(
                "aggregate functions are not allowed in a recursive query's recursive term",
                aggregate,
                "Aggregate its rows in the query that reads it.",
            )


def _reads_of(select: exp.Select, name: str) -> list[exp.Expr]:
    entries = (entry for entry in from_entries(select) if isinstance(entry, exp.Table))
    return [
        entry
        for entry in entries
        if isinstance(entry.this, exp.Identifier) and identifier_name(entry.this) == name
    ]


def _aggregates(item: exp.Expr) -> bool:
    """Whether a column is an aggregate of the rows of its query."""
    for part in item.walk(prune=lambda part: isinstance(part, exp.Query)):
        if isinstance(part, exp.AggFunc) and not is_window_function(part):
            return True
    return False
