"""Uncorrelated subqueries in WHERE: they run first, and their values take their place.

``id IN (SELECT paper FROM chunks ORDER BY v <=> 'q' LIMIT 20)``, ``year = (SELECT max(year) FROM papers)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from sqlglot import TokenType, exp

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.conditions import MAX_TERMS
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session

RunQuery = Callable[[Session, ParsedStatement, Params], Steps[StatementResult]]
Tree = TypeVar("Tree", bound=exp.Expr)

_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_PLAIN_TYPES: Final = (bool, int, float, str, type(None))
_WRITE: Final = "Write column IN (SELECT column FROM collection …), or = (SELECT …) of one row."


@dataclass(frozen=True)
class InlinedStatement:
    """A statement whose subqueries are replaced by parameters."""

    source: SourceText
    tree: exp.Expr
    params: Params
    """The parameters, with those of the subqueries."""
    notes: tuple[str, ...] = ()
    """What was read for each subquery, for EXPLAIN."""


def inline_subqueries(
    session: Session, parsed: ParsedStatement, params: Params, run: RunQuery
) -> Steps[InlinedStatement]:
    """Run the subqueries of a statement's WHERE. Raises SqlError, StoreError, ServiceError."""
    source, unchanged = parsed.source, InlinedStatement(parsed.source, parsed.tree, params)
    if not any(True for _ in _subqueries(parsed.tree)):
        return unchanged
    # Executions of the same text share the parsed tree.
    tree, notes, removed = parsed.tree.copy(), [], set[int]()
    for number, node in enumerate(list(_subqueries(tree))):
        tokens = _tokens(source, node)
        removed.update(id(token) for token in source.tokens[tokens])
        inner = replace(
            parsed, source=SourceText(source.text, source.tokens[tokens]), tree=node.this, explain_tokens=()
        )
        result = yield from run(session, inner, params)
        if isinstance(node.parent, exp.In) and isinstance(node.parent.this, exp.Tuple):
            raise source.not_supported("a subquery of rows in WHERE", node, _WRITE)
        if len(result.columns) != 1:
            raise source.type_mismatch(
                "a subquery in WHERE must return one column", len(result.columns), node, "Select one column."
            )
        rows = result.rows
        name = f"({number})"
        value = _substitute(source, node, name, [row[0] for row in rows])
        params = replace(params, values={**params.values, name: value})
        returned = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
        names = dict.fromkeys(table.name for table in node.this.find_all(exp.Table))
        notes.append(f"a subquery on {', '.join(names) or 'no collection'} returned {returned}")
    remaining = tuple(token for token in source.tokens if id(token) not in removed)
    return InlinedStatement(SourceText(source.text, remaining), tree, params, tuple(notes))


def _subqueries(tree: exp.Expr) -> Iterator[exp.Subquery]:
    """The outermost subqueries of WHERE; those inside distances are vectors, and stay."""
    where = tree.args.get("where")
    if where is None:
        return
    for node in where.walk(prune=lambda candidate: isinstance(candidate, (exp.Query, VectorDistance))):
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select):
            yield node


def _tokens(source: SourceText, node: exp.Subquery) -> slice:
    """The tokens of a subquery, without its parentheses."""
    first = source.position(node.this) or 0
    opening = [n for n, token in enumerate(source.tokens) if token.token_type == TokenType.SELECT]
    start = max((n for n in opening if source.tokens[n].start < first), default=0)
    depth = 0
    for end in range(start, len(source.tokens)):
        kind = source.tokens[end].token_type
        if kind == TokenType.R_PAREN and depth == 0:
            return slice(start, end)
        depth += (kind == TokenType.L_PAREN) - (kind == TokenType.R_PAREN)
    return slice(start, len(source.tokens))


def _substitute(source: SourceText, node: exp.Subquery, name: str, values: list[Any]) -> Any:
    """Replace a subquery by a parameter. Returns the parameter's value."""
    if stray_parts(node, ("this",)):
        raise source.not_supported("a subquery with a name in WHERE", node, _WRITE)
    placeholder = exp.Placeholder(this=name)
    placeholder.meta["start"] = source.position(node.this)
    if not all(type(value) in _PLAIN_TYPES for value in values):
        raise source.not_supported("a subquery in WHERE with values of this type", node, _WRITE)
    parent = node.parent
    if isinstance(parent, _COMPARISONS):
        if len(values) > 1:
            raise source.type_mismatch(
                "the subquery of a comparison must return at most one row",
                f"{len(values):,} rows",
                node,
                "Write IN (SELECT …).",
            )
        node.replace(placeholder)
        return values[0] if values else None
    if isinstance(parent, exp.In):
        negated = _negated(parent)
        non_nulls = [value for value in dict.fromkeys(values) if value is not None]
        _check_many(source, node, non_nulls)
        if negated and len(non_nulls) < len(set(values)):
            # NOT IN is never true of a list with NULL.
            parent.replace(exp.NEQ(this=parent.this, expression=exp.All(this=placeholder)))
            return []
        parent.replace(exp.EQ(this=parent.this, expression=exp.Any(this=placeholder)))
        return non_nulls
    if isinstance(parent, (exp.Any, exp.All)) and None not in values:
        _check_many(source, node, values)
        node.replace(placeholder)
        return values
    raise source.not_supported("this subquery in WHERE", node, _WRITE)


def _check_many(source: SourceText, node: exp.Subquery, values: list[Any]) -> None:
    if len(values) > MAX_TERMS:
        raise source.not_supported(
            f"a subquery in WHERE with {len(values):,} values, which are more than {MAX_TERMS:,},",
            node,
            "Narrow it with WHERE or LIMIT.",
        )


def _negated(node: exp.Expr) -> bool:
    """Whether a condition is under an odd number of NOTs."""
    negated, ancestor = False, node.parent
    while ancestor is not None and not isinstance(ancestor, exp.Where):
        negated ^= isinstance(ancestor, exp.Not)
        ancestor = ancestor.parent
    return negated
