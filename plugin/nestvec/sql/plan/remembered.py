"""Plans that are made once: a statement that is asked again differs, mostly, in what it searches for.

A plan is remembered by the statement's text, by the values of its parameters and by the service that embeds,
and counts as long as the very ``Table`` that it was made for is remembered too. Parameters that a distance is
to and that stand nowhere else (``v <=> :q``) have no part in that: of a plan with others of them, the ranking
alone is bound anew.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.params import NODES, Params, name_of
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.distance import Nearest, bind_again
from nestvec.sql.bind.vectors.hints import Shortlist
from nestvec.sql.bind.vectors.ranking import is_fused
from nestvec.sql.bind.vectors.targets import bare
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.parse import Parsed
from nestvec.sql.plan.nodes import HybridSearch, Node, Plan, VectorSearch, source_of, with_source
from nestvec_schemas.errors import SqlError

_MAX_PLANS: Final = 128
_MAX_CHARS: Final = 4_096
"""Characters of a statement, and of a text that it is given: longer ones are planned anew."""

_META_KEY: Final = "free"
"""Noted at a tree: which parameters are free, and by what."""

_CACHEABLE_TYPES: Final = (bool, int, float, str, type(None))

CacheKey = tuple[object, ...]


@dataclass(frozen=True)
class FreeParameters:
    """The parameters that nothing but distances are to, and where they stand in each part of the ranking.

    ``targets`` has None for a part that is to anything else; it is empty where no parameter is free.
    """

    names: frozenset[str] = frozenset()
    targets: tuple[exp.Expr | None, ...] = ()


@dataclass(frozen=True)
class CachedPlan:
    """A plan before a shortlist is chosen, what it was bound in, and the statement's hint.

    ``node`` is where the statement names the table; None without FROM.
    """

    plan: Plan
    scope: Scope
    node: exp.Table | None
    hint: Shortlist | None


@dataclass
class PlanCache:
    """The plans of one connection, those asked for last."""

    plans: OrderedDict[CacheKey, CachedPlan] = field(default_factory=OrderedDict)

    def lookup(
        self, parsed: Parsed, params: Params, service: str, cached_table: Callable[[exp.Table], Table | None]
    ) -> CachedPlan | None:
        """A statement's plan where it was planned before; None where it is to be planned anew.

        ``known`` gives the tables that are remembered. Raises nothing: what is wrong has no plan.
        """
        free = _free_parameters(parsed.tree)
        key = _cache_key(parsed.source.text, params, service, free.names)
        planned = self.plans.get(key) if key is not None else None
        if key is None or planned is None or planned.node is None:
            return None
        if cached_table(planned.node) is not planned.scope.table:
            return None
        self.plans.move_to_end(key)
        return _rebind_ranking(planned, params, free.targets) if free.targets else planned

    def store(self, parsed: Parsed, planned: CachedPlan) -> None:
        """Remember the plan of a SELECT without subqueries, as ``plan_query`` makes it."""
        scope = planned.scope
        key = _cache_key(
            parsed.source.text, scope.params, scope.around.service, _free_parameters(parsed.tree).names
        )
        if key is None or planned.node is None:
            return
        self.plans[key] = planned
        if len(self.plans) > _MAX_PLANS:
            self.plans.popitem(last=False)


def _cache_key(text: str, params: Params, service: str, free: frozenset[str]) -> CacheKey | None:
    """What a plan depends on beside its table; None where that is too long, or more than plain values."""
    if len(text) > _MAX_CHARS:
        return None
    values: list[object] = [text, service]
    for name, value in params.values.items():
        if name in free:
            continue
        if type(value) not in _CACHEABLE_TYPES or (isinstance(value, str) and len(value) > _MAX_CHARS):
            return None
        # Values that are equal may be of different types, and 0.0 equals -0.0.
        values += (name, type(value), repr(value) if isinstance(value, float) else value)
    return tuple(values)


def _free_parameters(tree: exp.Expr) -> FreeParameters:
    """The parameters that a plan may be asked again with others of."""
    # A tree is shared by all who ask alike, and stays the same.
    if _META_KEY not in tree.meta:
        tree.meta[_META_KEY] = _find_free_parameters(tree)
    free: FreeParameters = tree.meta[_META_KEY]
    return free


def _find_free_parameters(select: exp.Expr) -> FreeParameters:
    measures = [_distances(one) for one in select.walk(prune=_is_measure) if _is_measure(one)]
    order = select.args.get("order")
    # A model is given the text that is searched for, too.
    if not measures or order is None or order.args.get("rerank") is not None:
        return FreeParameters()
    targets = [_parameter(one) for distances in measures for one in distances]
    names = [None if one is None else name_of(one) for one in targets]
    if len(measures) > 1 and (len(set(names)) > 1 or None in names):
        # Whether one measure is the other depends on what both are to.
        return FreeParameters()
    stand = Counter(name_of(one) for one in select.find_all(*NODES))
    free = frozenset(name for name in names if name is not None and names.count(name) == stand[name])
    first = list(zip(names, targets, strict=True))[: len(measures[0])]
    return (
        FreeParameters(free, tuple(one if name in free else None for name, one in first))
        if free
        else FreeParameters()
    )


def _is_measure(node: exp.Expr) -> bool:
    """Whether a node is a distance, or a score that is made of some."""
    return isinstance(node, VectorDistance) or is_fused(node)


def _distances(measure: exp.Expr) -> list[exp.Expr]:
    """The distances of a measure, in their order."""
    if isinstance(measure, VectorDistance):
        return [measure]
    return [operand for operand in map(bare, measure.expressions) if isinstance(operand, VectorDistance)]


def _parameter(distance: exp.Expr) -> exp.Expr | None:
    """The parameter that a distance is to; None for anything else."""
    sides = (bare(distance.this), bare(distance.args["expression"]))
    return next((side for side in sides if isinstance(side, NODES)), None)


def _parts(node: Node) -> tuple[Nearest, ...]:
    """What a node ranks by."""
    if isinstance(node, HybridSearch):
        return node.ranking.parts
    return (node.nearest,) if isinstance(node, VectorSearch) else ()


def _rebind_ranking(
    planned: CachedPlan, params: Params, targets: tuple[exp.Expr | None, ...]
) -> CachedPlan | None:
    """The plan with the free parameters as they are now; None where it is not the same plan but for them."""
    plan, scope, node = planned.plan, planned.scope, source_of(planned.plan.node)
    scope = Scope(scope.source, scope.table, scope.name, params, scope.around)
    old_parts = _parts(node)
    try:
        new_parts = tuple(
            one if at is None else bind_again(scope, one, at)
            for one, at in zip(old_parts, targets, strict=True)
        )
    except SqlError:
        # Whoever binds the whole statement points to the right place of it.
        return None
    if any(
        type(one.target) is not type(other.target) for one, other in zip(new_parts, old_parts, strict=True)
    ):
        return None
    if isinstance(node, VectorSearch):
        node = replace(node, nearest=new_parts[0])
    elif isinstance(node, HybridSearch):
        asked = zip(node.parts, new_parts, strict=True)
        node = replace(
            node,
            ranking=replace(node.ranking, parts=new_parts),
            parts=tuple(replace(one, nearest=nearest) for one, nearest in asked),
        )
    again = Plan(with_source(plan.node, node), plan.outputs, plan.services, plan.notes)
    return CachedPlan(again, scope, planned.node, planned.hint)
