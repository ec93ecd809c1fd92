"""Subqueries in WHERE that name no column around them: run first, and their values stand in their place.

``id IN (SELECT paper FROM chunks ORDER BY v <=> 'q' LIMIT 20)``, ``year = (SELECT max(year) FROM papers)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from sqlglot import TokenType, exp

from nestvec.sql.bind.conditions import MAX_TERMS
from nestvec.sql.bind.params import Params
from nestvec.sql.language.dialect import VectorDistance
from nestvec.sql.language.parse import Parsed
from nestvec.sql.language.source import Source, stray_parts
from nestvec.sql.plan.nodes import Plan
from nestvec.sql.run.nodes import run_plan
from nestvec.sql.session import Session
from nestvec.steps import Steps

Planner = Callable[[Session, Parsed, Params], Steps[Plan]]
Tree = TypeVar("Tree", bound=exp.Expr)

_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_WRITE: Final = "Write column IN (SELECT column FROM collection …), or = (SELECT …) of one row."


@dataclass(frozen=True)
class Inlined:
    """A statement whose subqueries are parameters: its tree, its tokens without theirs, all values.

    ``notes`` say what was read for each.
    """

    source: Source
    tree: exp.Expr
    params: Params
    notes: tuple[str, ...] = ()


def inlined(session: Session, parsed: Parsed, params: Params, plan: Planner) -> Steps[Inlined]:
    """Run the subqueries of a statement's WHERE. Raises SqlError, StoreError, ServiceError."""
    source, whole = parsed.source, Inlined(parsed.source, parsed.tree, params)
    if not any(True for _ in _subqueries(parsed.tree)):
        return whole
    # The tree that was parsed is not of this execution alone.
    tree, notes, gone = parsed.tree.copy(), [], set[int]()
    for number, node in enumerate(list(_subqueries(tree))):
        tokens = _tokens(source, node)
        gone.update(id(one) for one in source.tokens[tokens])
        inner = replace(parsed, source=Source(source.text, source.tokens[tokens]), tree=node.this, words=())
        planned = yield from plan(session, inner, params)
        if len(planned.columns) != 1:
            raise source.type_mismatch(
                "a subquery in WHERE has one column", len(planned.columns), node, "Name one."
            )
        rows = (yield from run_plan(session, planned)).rows
        name = f"({number})"
        value = _put(source, node, name, [row[0] for row in rows])
        params = replace(params, values={**params.values, name: value})
        gave = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
        notes.append(f"a subquery of {planned.node.collection or 'no collection'} gave {gave}")
    left = tuple(one for one in source.tokens if id(one) not in gone)
    return Inlined(Source(source.text, left), tree, params, tuple(notes))


def _subqueries(tree: exp.Expr) -> Iterator[exp.Subquery]:
    """Those of WHERE, the outermost alone; those that rows are ranked by are vectors and stay."""
    where = tree.args.get("where")
    if where is None:
        return
    for node in where.walk(prune=lambda one: isinstance(one, (exp.Subquery, VectorDistance))):
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select):
            yield node


def _tokens(source: Source, node: exp.Subquery) -> slice:
    """Where a subquery's tokens are, without its parentheses."""
    first = source.position(node.this) or 0
    opening = [n for n, one in enumerate(source.tokens) if one.token_type == TokenType.SELECT]
    start = max((n for n in opening if source.tokens[n].start < first), default=0)
    depth = 0
    for end in range(start, len(source.tokens)):
        kind = source.tokens[end].token_type
        if kind == TokenType.R_PAREN and depth == 0:
            return slice(start, end)
        depth += (kind == TokenType.L_PAREN) - (kind == TokenType.R_PAREN)
    return slice(start, len(source.tokens))


def _put(source: Source, node: exp.Subquery, name: str, found: list[Any]) -> Any:
    """Put a parameter in a subquery's place; its value."""
    if stray_parts(node, ("this",)):
        raise source.not_supported("a subquery with a name in WHERE", node, _WRITE)
    given = exp.Placeholder(this=name)
    given.meta["start"] = source.position(node.this)
    parent = node.parent
    if isinstance(parent, _COMPARISONS):
        if len(found) > 1:
            raise source.type_mismatch(
                "the subquery of a comparison has one row",
                f"{len(found):,} rows",
                node,
                "Write IN (SELECT …).",
            )
        node.replace(given)
        return found[0] if found else None
    if isinstance(parent, exp.In):
        negated = _negated(parent)
        known = [one for one in dict.fromkeys(found) if one is not None]
        _check_many(source, node, known)
        if negated and len(known) < len(set(found)):
            # Nothing is known not to be in a list that holds NULL.
            parent.replace(exp.NEQ(this=parent.this, expression=exp.All(this=given)))
            return []
        parent.replace(exp.EQ(this=parent.this, expression=exp.Any(this=given)))
        return known
    if isinstance(parent, (exp.Any, exp.All)) and None not in found:
        _check_many(source, node, found)
        node.replace(given)
        return found
    raise source.not_supported("this subquery in WHERE", node, _WRITE)


def _check_many(source: Source, node: exp.Subquery, found: list[Any]) -> None:
    if len(found) > MAX_TERMS:
        raise source.type_mismatch(
            f"a subquery in WHERE gives at most {MAX_TERMS:,} values", f"{len(found):,}", node, "Narrow it."
        )


def _negated(node: exp.Expr) -> bool:
    """Whether a condition stands under an odd number of NOTs."""
    odd, above = False, node.parent
    while above is not None and not isinstance(above, exp.Where):
        odd ^= isinstance(above, exp.Not)
        above = above.parent
    return odd
