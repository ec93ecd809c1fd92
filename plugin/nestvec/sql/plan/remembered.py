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

from nestvec.catalog import Table
from nestvec.sql.bind.distance import Nearest, bind_again
from nestvec.sql.bind.hints import Shortlist
from nestvec.sql.bind.params import NODES, Params, name_of
from nestvec.sql.bind.ranking import is_fused
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.targets import bare
from nestvec.sql.language.dialect import VectorDistance
from nestvec.sql.language.parse import Parsed
from nestvec.sql.plan.nodes import Hybrid, Node, Plan, Search, source_of, with_source
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
    """The parameters that nothing but distances are to, and where they stand in each part of the ranking.

    ``targets`` has None for a part that is to anything else; it is empty where no parameter is free.
    """

    names: frozenset[str] = frozenset()
    targets: tuple[exp.Expr | None, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A plan before a shortlist is chosen, what it was bound in, and the statement's hint.

    ``node`` is where the statement names the table; None without FROM.
    """

    plan: Plan
    scope: Scope
    node: exp.Table | None
    hint: Shortlist | None


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
        return _ranked_anew(planned, params, free.targets) if free.targets else planned

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
    measures = [_distances(one) for one in select.walk(prune=_is_measure) if _is_measure(one)]
    order = select.args.get("order")
    # A model is given the text that is searched for, too.
    if not measures or order is None or order.args.get("rerank") is not None:
        return Free()
    targets = [_parameter(one) for distances in measures for one in distances]
    names = [None if one is None else name_of(one) for one in targets]
    if len(measures) > 1 and (len(set(names)) > 1 or None in names):
        # Whether one measure is the other depends on what both are to.
        return Free()
    stand = Counter(name_of(one) for one in select.find_all(*NODES))
    free = frozenset(name for name in names if name is not None and names.count(name) == stand[name])
    first = list(zip(names, targets, strict=True))[: len(measures[0])]
    return Free(free, tuple(one if name in free else None for name, one in first)) if free else Free()


def _is_measure(node: exp.Expr) -> bool:
    """Whether a node is a distance, or a score that is made of some."""
    return isinstance(node, VectorDistance) or is_fused(node)


def _distances(measure: exp.Expr) -> list[exp.Expr]:
    """The distances of a measure, in their order."""
    if isinstance(measure, VectorDistance):
        return [measure]
    return [one for one in map(bare, measure.expressions) if isinstance(one, VectorDistance)]


def _parameter(distance: exp.Expr) -> exp.Expr | None:
    """The parameter that a distance is to; None for anything else."""
    sides = (bare(distance.this), bare(distance.args["expression"]))
    return next((one for one in sides if isinstance(one, NODES)), None)


def _parts(node: Node) -> tuple[Nearest, ...]:
    """What a node ranks by."""
    if isinstance(node, Hybrid):
        return node.ranking.parts
    return (node.nearest,) if isinstance(node, Search) else ()


def _ranked_anew(planned: Planned, params: Params, targets: tuple[exp.Expr | None, ...]) -> Planned | None:
    """The plan with the free parameters as they are now; None where it is not the same plan but for them."""
    plan, scope, node = planned.plan, planned.scope, source_of(planned.plan.node)
    scope = Scope(scope.source, scope.table, scope.name, params, scope.around)
    before = _parts(node)
    try:
        parts = tuple(
            one if at is None else bind_again(scope, one, at) for one, at in zip(before, targets, strict=True)
        )
    except SqlError:
        # Whoever binds the whole statement points to the right place of it.
        return None
    if any(type(one.target) is not type(other.target) for one, other in zip(parts, before, strict=True)):
        return None
    if isinstance(node, Search):
        node = replace(node, nearest=parts[0])
    elif isinstance(node, Hybrid):
        asked = zip(node.parts, parts, strict=True)
        node = replace(
            node,
            ranking=replace(node.ranking, parts=parts),
            parts=tuple(replace(one, nearest=nearest) for one, nearest in asked),
        )
    again = Plan(with_source(plan.node, node), plan.outputs, plan.services, plan.notes)
    return Planned(again, scope, planned.node, planned.hint)
