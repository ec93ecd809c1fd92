"""Plans of a connection, cached by statement: between executions mostly the target of the search changes.

The key is the statement's text, the values of its parameters and the service that embeds; an entry is valid
as long as the session holds the very ``Table`` that it was planned for. Parameters that occur only as the
target of a distance (``v <=> :q``) are not part of the key: only the ranking is bound again for new values.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.params import PARAMETER_NODES, Params, parameter_name
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.arithmetic import is_vector_cast
from nestvec.sql.bind.vectors.distance import DistanceRanking, rebind_distance
from nestvec.sql.bind.vectors.ranking import is_fused
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.hints import Shortlist
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import tree_nodes, without_parens
from nestvec.sql.plan.nodes import HybridSearch, Node, Plan, VectorSearch, source_of, with_source
from nestvec_schemas.errors import SqlError

_MAX_PLANS: Final = 128
"""Plans that a connection remembers."""
_MAX_CHARS: Final = 4_096
"""Length of a statement, and of a text parameter, beyond which a plan is not cached."""

_META_KEY: Final = "free"
"""Where the free parameters of a tree are kept, in its ``meta``."""

CLOCKS: Final = (
    exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Localtimestamp, exp.Localtime,
)  # fmt: skip
"""Constants that differ from one execution to the next."""

_CACHEABLE_TYPES: Final = (bool, int, float, str, type(None))

CacheKey = tuple[object, ...]


@dataclass(frozen=True)
class FreeParameters:
    """The parameters that occur only as targets of distances."""

    names: frozenset[str] = frozenset()
    targets: tuple[exp.Expr | None, ...] = ()
    """For each part of the ranking the node of its free parameter, or None; empty if none is free."""
    has_clock: bool = False
    """Whether the statement has one of ``CLOCKS``."""


@dataclass(frozen=True)
class CachedPlan:
    """A plan before a shortlist is chosen, with what that choice needs."""

    plan: Plan
    scope: Scope
    """What the statement was bound in."""
    node: exp.Table | None
    """Where the statement names the table; None without FROM."""
    hint: Shortlist | None


@dataclass
class PlanCache:
    """The plans of one connection that were used last."""

    plans: OrderedDict[CacheKey, CachedPlan] = field(default_factory=OrderedDict)
    relational: OrderedDict[CacheKey, object] = field(default_factory=OrderedDict)
    """Those for DuckDB, whose module is loaded by the statements that need it."""

    def lookup(
        self,
        parsed: ParsedStatement,
        params: Params,
        service: str,
        cached_table: Callable[[exp.Table], Table | None],
    ) -> CachedPlan | None:
        """The plan of a statement for these parameters; None if it must be planned.

        ``cached_table`` gives the tables that the session holds. Errors are left to the planner.
        """
        free = _free_parameters(parsed.tree)
        key = cache_key(parsed.source.text, params, service, free.names)
        planned = self.plans.get(key) if key is not None else None
        if key is None or planned is None or planned.node is None:
            return None
        if cached_table(planned.node) is not planned.scope.table:
            return None
        self.plans.move_to_end(key)
        return _rebind_ranking(planned, params, free.targets) if free.targets else planned

    def store(self, parsed: ParsedStatement, planned: CachedPlan) -> None:
        """Cache the plan of a SELECT without subqueries, as ``plan_query`` returns it."""
        scope = planned.scope
        free = _free_parameters(parsed.tree)
        key = cache_key(parsed.source.text, scope.params, scope.context.service, free.names)
        if key is None or planned.node is None or free.has_clock:
            return
        self.plans[key] = planned
        if len(self.plans) > _MAX_PLANS:
            self.plans.popitem(last=False)

    def store_relational(self, key: CacheKey, planned: object) -> None:
        """Cache a plan for DuckDB."""
        self.relational[key] = planned
        if len(self.relational) > _MAX_PLANS:
            self.relational.popitem(last=False)


def cache_key(text: str, params: Params, service: str, free: frozenset[str]) -> CacheKey | None:
    """What a plan depends on besides its tables; None if that is too long, or not only plain values."""
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
    """The free parameters of a statement."""
    # Executions of the same text share one tree, which never changes.
    if _META_KEY not in tree.meta:
        nodes = tree_nodes(tree)
        has_clock = any(isinstance(node, CLOCKS) for node in nodes)
        tree.meta[_META_KEY] = replace(_find_free_parameters(tree, nodes), has_clock=has_clock)
    free: FreeParameters = tree.meta[_META_KEY]
    return free


def _find_free_parameters(select: exp.Expr, nodes: Sequence[exp.Expr]) -> FreeParameters:
    measuring = {id(node): node for node in nodes if _is_measure(node)}
    measures = [_distances(node) for node in measuring.values() if not _is_within(node, measuring)]
    order = select.args.get("order")
    # A reranking model gets the text of the search, too.
    if not measures or order is None or order.args.get("rerank") is not None:
        return FreeParameters()
    targets = [_parameter(distance) for distances in measures for distance in distances]
    names = [None if target is None else parameter_name(without_cast(target)) for target in targets]
    if len(measures) > 1 and (len(set(names)) > 1 or None in names):
        # Whether two measures are the same depends on both targets.
        return FreeParameters()
    occurrences = Counter(parameter_name(node) for node in nodes if isinstance(node, PARAMETER_NODES))
    free = frozenset(name for name in names if name is not None and names.count(name) == occurrences[name])
    first = list(zip(names, targets, strict=True))[: len(measures[0])]
    if not free:
        return FreeParameters()
    return FreeParameters(free, tuple(target if name in free else None for name, target in first))


def _is_within(node: exp.Expr, nodes: Mapping[int, exp.Expr]) -> bool:
    """Whether one of these nodes is above a node."""
    above = node.parent
    while above is not None and id(above) not in nodes:
        above = above.parent
    return above is not None


def _is_measure(node: exp.Expr) -> bool:
    """Whether a node is a distance, or a score made of several."""
    return isinstance(node, VectorDistance) or is_fused(node)


def _distances(measure: exp.Expr) -> list[exp.Expr]:
    """The distances of a measure, in their order."""
    if isinstance(measure, VectorDistance):
        return [measure]
    return [
        operand for operand in map(without_parens, measure.expressions) if isinstance(operand, VectorDistance)
    ]


def _parameter(distance: exp.Expr) -> exp.Expr | None:
    """The parameter that is a distance's target, with its cast to a vector; None for another target."""
    sides = (without_parens(distance.this), without_parens(distance.args["expression"]))
    return next((side for side in sides if isinstance(without_cast(side), PARAMETER_NODES)), None)


def without_cast(node: exp.Expr) -> exp.Expr:
    """What a cast to a vector casts; any other node itself."""
    return without_parens(node.this) if is_vector_cast(node) else node


def _parts(node: Node) -> tuple[DistanceRanking, ...]:
    """The distances that a node ranks by."""
    if isinstance(node, HybridSearch):
        return node.ranking.parts
    return (node.nearest,) if isinstance(node, VectorSearch) else ()


def _rebind_ranking(
    planned: CachedPlan, params: Params, targets: tuple[exp.Expr | None, ...]
) -> CachedPlan | None:
    """The plan with new values of the free parameters; None if it would be a different plan."""
    plan, scope, node = planned.plan, planned.scope, source_of(planned.plan.node)
    scope = Scope(scope.source, scope.table, scope.name, params, scope.context)
    old_parts = _parts(node)
    try:
        new_parts = tuple(
            part if target is None else rebind_distance(scope, part, target)
            for part, target in zip(old_parts, targets, strict=True)
        )
    except SqlError:
        # Binding the whole statement points to the right place in it.
        return None
    for old, new in zip(old_parts, new_parts, strict=True):
        if type(old.target) is not type(new.target):
            return None
    if isinstance(node, VectorSearch):
        node = replace(node, nearest=new_parts[0])
    elif isinstance(node, HybridSearch):
        searches = zip(node.parts, new_parts, strict=True)
        node = replace(
            node,
            ranking=replace(node.ranking, parts=new_parts),
            parts=tuple(replace(search, nearest=nearest) for search, nearest in searches),
        )
    rebound = Plan(with_source(plan.node, node), plan.outputs, plan.services, plan.notes)
    return CachedPlan(rebound, scope, planned.node, planned.hint)
