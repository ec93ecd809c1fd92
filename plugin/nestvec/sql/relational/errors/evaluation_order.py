"""A statement whose operands DuckDB computes as PostgreSQL does: one after the other, no more than needed.

DuckDB computes both operands of AND and OR for many rows at once, so that ``a <> 0 AND 10 / a > 2`` may be
an error where PostgreSQL never divides. Such a statement is run again with the second operand in a CASE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Final

from sqlglot import exp
from sqlglot.errors import ErrorLevel, UnsupportedError

from nestvec.sql.parse.source import chain_operands, tree_nodes, without_parens

_ORDERED: Final = (exp.And, exp.Or, exp.In, exp.Between, exp.Coalesce, exp.Filter, exp.Where)
_FREE: Final = (
    exp.Paren, exp.Not, exp.Is, exp.And, exp.Or, exp.Case, exp.If, exp.Coalesce, exp.Column, exp.Identifier,
    exp.Literal, exp.Boolean, exp.Null, exp.Placeholder, exp.Parameter, exp.DataType,
)  # fmt: skip
"""What costs nothing, as PostgreSQL's planner counts."""
_SAFE: Final = (
    *_FREE, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In, exp.Between, exp.Tuple,
    exp.NullSafeEQ, exp.NullSafeNEQ,
)  # fmt: skip
"""What is never an error of a value."""
_WITHIN_AGGREGATES: Final = (
    exp.Distinct, exp.Order, exp.Ordered, exp.WithinGroup, exp.PercentileCont, exp.PercentileDisc,
)  # fmt: skip
_CONDITIONS: Final = (exp.Where, exp.Having)

_MAX_NODES: Final = 50_000
"""Nodes of a statement that is run again: operands of nested ones are repeated."""


def has_order(tree: exp.Expr) -> bool:
    """Whether the order in which a statement's operands are computed can matter."""
    return any(isinstance(node, _ORDERED) for node in tree_nodes(tree))


def in_evaluation_order(tree: exp.Expr) -> str:
    """A statement for DuckDB, of the tree of another, that computes its operands in PostgreSQL's order.

    Empty if it is the same statement, or would be too long.
    """
    changed = tree.copy()
    for node in reversed(tree_nodes(changed)):
        replacement = _ordered(node)
        if replacement is node:
            continue
        if node is changed:
            changed = replacement
        node.replace(replacement)
        if len(tree_nodes(changed)) > _MAX_NODES:
            return ""
    for query in changed.find_all(exp.Select):
        _keep_apart(query)
    try:
        sql: str = changed.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)
        return "" if sql == tree.sql(dialect="duckdb") else sql
    except (UnsupportedError, RecursionError):
        return ""


def _ordered(node: exp.Expr) -> exp.Expr:
    """The node, or what computes its operands one after the other."""
    if isinstance(node, (exp.And, exp.Or)):
        if type(node.parent) is type(node) or _is_condition(node):
            # The outermost node has all operands of a chain; those of conditions are ordered apart.
            return node
        operands = chain_operands(node)
        return _chain(operands, isinstance(node, exp.And)) if any(map(_can_fail, operands[1:])) else node
    if isinstance(node, exp.In) and any(map(_can_fail, node.expressions)):
        return exp.paren(
            _chain([exp.EQ(this=node.this, expression=item) for item in node.expressions], is_and=False)
        )
    if isinstance(node, exp.Between) and not node.args.get("symmetric") and _can_fail(node.args["high"]):
        low, high = node.args["low"], node.args["high"]
        bounds = [exp.GTE(this=node.this, expression=low), exp.LTE(this=node.this, expression=high)]
        return exp.paren(_chain(bounds, is_and=True))
    if isinstance(node, exp.Coalesce) and any(map(_can_fail, node.expressions)):
        return _first_present([node.this, *node.expressions])
    if isinstance(node, exp.Filter):
        return _filtered(node)
    if isinstance(node, _CONDITIONS) and not isinstance(node.parent, exp.Filter):
        node.set("this", _condition(node.this, node.parent))
    if isinstance(node, exp.Join) and node.args.get("on") is not None:
        node.set("on", _condition(node.args["on"], node.parent))
    return node


def _is_condition(node: exp.Expr) -> bool:
    while isinstance(node.parent, exp.Paren):
        node = node.parent
    return isinstance(node.parent, _CONDITIONS) or (
        isinstance(node.parent, exp.Join) and node.arg_key == "on"
    )


def _chain(operands: Sequence[exp.Expr], is_and: bool) -> exp.Expr:
    """AND or OR of operands, each of which is computed where those before it leave the result open."""

    def before(rest: exp.Expr, operand: exp.Expr) -> exp.Expr:
        chained = (exp.and_ if is_and else exp.or_)(operand, rest, copy=True)
        if not _can_fail(rest):
            return chained
        decided = exp.Not(this=exp.paren(operand.copy())) if is_and else operand.copy()
        return _choice(decided, exp.Boolean(this=not is_and), chained)

    *first, last = operands
    return exp.paren(reduce(before, reversed(first), last.copy()))


def _first_present(values: Sequence[exp.Expr]) -> exp.Expr:
    """COALESCE whose values are computed in turn: DuckDB computes what several of them have before any."""

    def before(rest: exp.Expr, value: exp.Expr) -> exp.Expr:
        is_null = exp.Is(this=exp.paren(value.copy()), expression=exp.Null())
        return _choice(is_null, rest, value.copy())

    *first, last = values
    return reduce(before, reversed(first), last.copy())


def _choice(condition: exp.Expr, value: exp.Expr, otherwise: exp.Expr | None) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=condition, true=value)], default=otherwise)


def _condition(condition: exp.Expr, query: exp.Expr | None) -> exp.Expr:
    """WHERE, HAVING or ON: cheap operands come before dear ones, and a row is out with the first that is not
    true. Each operand that can fail waits for those before it that need no further table."""
    operands = _conjuncts(condition)
    ranked = sorted(operands, key=_cost)
    own = _own_tables(query)
    rewritten = []
    for operand in operands:
        at = next(place for place, each in enumerate(ranked) if each is operand)
        tables = _tables(operand) & own
        earlier = [
            each for each in ranked[:at] if _tables(each) & own <= tables and each.find(exp.Query) is None
        ]
        if _can_fail(operand) and not _joins_by_equality(operand, own) and operand.find(exp.Query) is None:
            rewritten.append(_guarded(operand, earlier))
        else:
            rewritten.append(operand.copy())
    return exp.and_(*rewritten, copy=False)


def _guarded(operand: exp.Expr, earlier: Iterable[exp.Expr]) -> exp.Expr:
    """An operand that is computed only where those before it are true."""

    def within(inner: exp.Expr, condition: exp.Expr) -> exp.Expr:
        return _choice(condition.copy(), inner, exp.false())

    return reduce(within, reversed(list(earlier)), operand.copy())


def _conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    condition = without_parens(condition)
    if not isinstance(condition, exp.And):
        return [condition]
    return [part for operand in chain_operands(condition) for part in _conjuncts(operand)]


def _own_tables(query: exp.Expr | None) -> set[str]:
    """The names of the tables of FROM of the query of a condition."""
    if not isinstance(query, exp.Select) or query.args.get("from_") is None:
        return set()
    entries = [query.args["from_"].this, *(join.this for join in query.args.get("joins") or ())]
    return {entry.alias_or_name for entry in entries}


def _tables(node: exp.Expr) -> set[str]:
    return {column.table for column in node.find_all(exp.Column)}


def _joins_by_equality(operand: exp.Expr, own: set[str]) -> bool:
    """Whether it is the equality of a join, which DuckDB computes by hashing both sides."""
    if not isinstance(operand, exp.EQ):
        return False
    sides = _tables(operand.this) & own, _tables(operand.expression) & own
    return all(sides) and sides[0].isdisjoint(sides[1])


def _filtered(node: exp.Filter) -> exp.Expr:
    """An aggregate whose arguments are computed only for the rows that its FILTER lets through."""
    condition = node.expression.this
    operands = _conjuncts(condition)
    ordered = _guarded(operands[-1], operands[:-1])
    for value in list(_values(node.this)):
        if _can_fail(value):
            value.replace(_choice(ordered.copy(), value.copy(), None))
    node.expression.set("this", ordered)
    return node


def _values(aggregate: exp.Expr) -> Iterator[exp.Expr]:
    """The arguments of an aggregate, those of DISTINCT and ORDER BY within it, too."""
    for part in aggregate.iter_expressions():
        if isinstance(part, _WITHIN_AGGREGATES):
            yield from _values(part)
        elif not isinstance(part, (exp.Identifier, exp.Star, exp.Literal)):
            yield part


def _keep_apart(query: exp.Select) -> None:
    """Have DuckDB compute a query of FROM or WITH before the conditions of the query around it."""
    is_inner = isinstance(query.parent, (exp.CTE, exp.Subquery)) and isinstance(
        query.parent.parent, (exp.From, exp.Join, exp.With)
    )
    if is_inner and query.args.get("where") is not None and query.args.get("offset") is None:
        query.set("offset", exp.Offset(expression=exp.Literal.number(0)))


def _can_fail(node: exp.Expr) -> bool:
    """Whether computing an expression can be an error. What subqueries compute is another matter."""
    parts = node.walk(prune=lambda part: isinstance(part, exp.Query))
    return any(
        not isinstance(part, (*_SAFE, exp.Query, exp.Exists)) and not _is_typed(part) for part in parts
    )


def _is_typed(node: exp.Expr) -> bool:
    """Whether it is a constant with its type."""
    return isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal)


def _cost(node: exp.Expr) -> int:
    """How dear a condition is: its operators and calls; those with a query are dearer than any other."""
    parts = tree_nodes(node)
    queries = sum(isinstance(part, exp.Query) for part in parts)
    return sum(not isinstance(part, _FREE) for part in parts) + 1_000 * queries
