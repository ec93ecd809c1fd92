"""Plans that are made once: a statement that is asked again differs, mostly, in what it searches for.

A plan is remembered by the statement's text, by the values of its parameters and by the service that embeds,
and counts as long as the very ``Table`` that it was made for is remembered too. Parameters that a distance is
to and that stand nowhere else (``v <=> :q``) have no part in that: of a plan with others of them, the ranking
alone is bound anew.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from sqlglot import exp

from nestvec.catalog import Table
from nestvec.sql.bind.nearest import Fused, Measure, Nearest, Ranking, Reranked, bind_measure, measure
from nestvec.sql.bind.params import NODES, Params, name_of
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.targets import bare
from nestvec.sql.language.dialect import VectorDistance
from nestvec.sql.language.parse import Parsed
from nestvec.sql.plan.nodes import Hybrid, Plan, Search, source_of, with_source
from nestvec_schemas.errors import SqlError

_MOST: Final = 128
_LONGEST: Final = 4_096
"""Characters of a statement, and of a text that it is given: longer ones are planned anew."""

_FREE: Final = "free"
"""Noted at a tree: which parameters are free, and by what."""

_PLAIN: Final = (bool, int, float, str, type(None))

Key = tuple[object, ...]


@dataclass(frozen=True)
class Free:
    """The parameters that nothing but distances are to, and the measure that names them; None for none."""

    names: frozenset[str] = frozenset()
    by: Measure | None = None


@dataclass(frozen=True)
class Planned:
    """A plan, what it was bound in, and where the statement names the table of that; None without FROM."""

    plan: Plan
    scope: Scope
    node: exp.Table | None


@dataclass
class Plans:
    """The plans of one connection, those asked for last."""

    kept: OrderedDict[Key, Planned] = field(default_factory=OrderedDict)

    def again(
        self, parsed: Parsed, params: Params, service: str, known: Callable[[exp.Table], Table | None]
    ) -> Planned | None:
        """A statement's plan where it was planned before; None where it is to be planned anew.

        ``known`` gives the tables that are remembered. Raises nothing: what is wrong has no plan.
        """
        free = _free(parsed.tree)
        key = _key(parsed.source.text, params, service, free.names)
        planned = self.kept.get(key) if key is not None else None
        if key is None or planned is None or planned.node is None:
            return None
        if known(planned.node) is not planned.scope.table:
            return None
        self.kept.move_to_end(key)
        return planned if free.by is None else _ranked_anew(planned, params, free.by)

    def keep(self, parsed: Parsed, planned: Planned) -> None:
        """Remember the plan of a SELECT without subqueries, as ``plan_query`` makes it."""
        scope = planned.scope
        key = _key(parsed.source.text, scope.params, scope.around.service, _free(parsed.tree).names)
        if key is None or planned.node is None:
            return
        self.kept[key] = planned
        if len(self.kept) > _MOST:
            self.kept.popitem(last=False)


def _key(text: str, params: Params, service: str, free: frozenset[str]) -> Key | None:
    """What a plan depends on beside its table; None where that is too long, or more than plain values."""
    if len(text) > _LONGEST:
        return None
    values: list[object] = [text, service]
    for name, value in params.values.items():
        if name in free:
            continue
        if type(value) not in _PLAIN or (isinstance(value, str) and len(value) > _LONGEST):
            return None
        # Values that are equal may be of different types, and 0.0 equals -0.0.
        values += (name, type(value), repr(value) if isinstance(value, float) else value)
    return tuple(values)


def _free(tree: exp.Expr) -> Free:
    """The parameters that a plan may be asked again with others of."""
    # A tree is shared by all who ask alike, and stays the same.
    if _FREE not in tree.meta:
        tree.meta[_FREE] = _found_free(tree)
    found: Free = tree.meta[_FREE]
    return found


def _found_free(select: exp.Expr) -> Free:
    measures = list(_measures(select))
    order = select.args.get("order")
    # A model is given the text that is searched for, too.
    if not measures or order is None or order.args.get("rerank") is not None:
        return Free()
    distances = [one for found in measures for one in found.node.find_all(VectorDistance)]
    to = [_parameter(one) for one in distances]
    if len(measures) > 1 and (len(set(to)) > 1 or None in to):
        # Whether one measure is the other depends on what both are to.
        return Free()
    named = Counter(to)
    stand = Counter(name_of(one) for one in select.find_all(*NODES))
    names = frozenset(name for name in named if name is not None and named[name] == stand[name])
    return Free(names, measures[0]) if names else Free()


def _measures(select: exp.Expr) -> Iterator[Measure]:
    """Every distance and every score in a statement, but for the distances that a score is made of."""
    for node in select.walk(prune=lambda one: _measured(one) is not None):
        found = _measured(node)
        if found is not None:
            yield found


def _measured(node: exp.Expr) -> Measure | None:
    found = measure(node)
    return found if found is not None and found.kind != "similarity" else None


def _parameter(distance: VectorDistance) -> str | None:
    """The name of the parameter that a distance is to; None for anything else."""
    sides = (bare(distance.this), bare(distance.args["expression"]))
    return next((name_of(one) for one in sides if isinstance(one, NODES)), None)


def _ranked_anew(planned: Planned, params: Params, by: Measure) -> Planned | None:
    """The plan with the free parameters as they are now; None where it is not the same plan but for them."""
    plan, node = planned.plan, source_of(planned.plan.node)
    scope = replace(planned.scope, params=params)
    try:
        ranking = bind_measure(scope, by)
    except SqlError:
        # Whoever binds the whole statement points to the right place of it.
        return None
    if isinstance(node, Search) and isinstance(ranking, Nearest) and _shape(node.nearest) == _shape(ranking):
        node = replace(node, nearest=ranking)
    elif isinstance(node, Hybrid) and isinstance(ranking, Fused) and _shape(node.ranking) == _shape(ranking):
        pairs = zip(node.parts, ranking.parts, strict=True)
        node = replace(node, ranking=ranking, parts=tuple(replace(part, nearest=one) for part, one in pairs))
    else:
        return None
    return replace(planned, plan=replace(plan, node=with_source(plan.node, node)), scope=scope)


def _shape(ranking: Ranking | Reranked) -> object:
    """All of a ranking but what it is to: of that, the kind alone."""
    if isinstance(ranking, Fused):
        return replace(ranking, parts=()), [_shape(one) for one in ranking.parts]
    if isinstance(ranking, Nearest):
        return ranking.column, ranking.metric, ranking.shorter, type(ranking.target)
    return None
