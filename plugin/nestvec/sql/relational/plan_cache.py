"""Plans for DuckDB, cached by statement as those for Milvus are: a plan costs more than most searches.

A parameter that is only the target of distances (``v <=> :q``, ``v <=> $1::vector``) is not part of the key:
the plan's targets that it gave are bound again. An entry is valid as long as the session has the tables that
it was planned for, and files and tables of PostgreSQL have the columns that they had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.bind.params import PARAMETER_NODES, Params, parameter_name
from nestvec.sql.bind.scope import Context, Scope
from nestvec.sql.bind.vectors.distance import DistanceRanking, bind_target, rebind_distance
from nestvec.sql.bind.vectors.targets import EmbeddedText, Target
from nestvec.sql.parse.dialect import Rerank, VectorDistance
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, without_parens
from nestvec.sql.plan.cache import CLOCKS, CacheKey, cache_key, without_cast
from nestvec.sql.relational.engine import describe_supplied
from nestvec.sql.relational.relations import CollectionScan, DistanceColumn, RelationalPlan, SuppliedRelation
from nestvec.sql.relational.vectors import is_distance_function
from nestvec.sql.session import Session, named_tables
from nestvec_schemas.errors import SqlError

_META_KEY: Final = "distance_targets"
"""Where the free parameters of a tree are kept, in its ``meta``, once its plan was cached."""

_LEAVES: Final = (str, bytes, int, float, type(None), exp.Expr, Table, Column, SourceText)


class _NotRebindable(Exception):
    """The plan holds a free parameter's value where it cannot be replaced."""


@dataclass(frozen=True)
class CachedRelationalPlan:
    """A plan for DuckDB, with what it is valid for."""

    plan: RelationalPlan
    tables: Mapping[str, Table]
    """The session's tables that the statement names."""
    free: Mapping[int, exp.Expr]
    """The nodes of the free parameters, by the ids of the targets of the plan that they gave."""


def lookup_relational(
    session: Session, parsed: ParsedStatement, params: Params, service: str
) -> Steps[RelationalPlan | None]:
    """The cached plan of a statement for these parameters; None if it must be planned."""
    free = parsed.tree.meta.get(_META_KEY)
    key = None if free is None else _key(session, parsed, params, service, free)
    cached = session.plan_cache.relational.get(key) if key is not None else None
    if key is None or not isinstance(cached, CachedRelationalPlan):
        return None
    if any(session.tables.get(name) is not table for name, table in cached.tables.items()):
        return None
    if not (yield from _has_same_columns(cached.plan)):
        return None
    session.plan_cache.relational.move_to_end(key)
    if not cached.free:
        return cached.plan
    rebind = _Rebinding(parsed.source, params, Context({}, service), cached.free)
    try:
        return rebind.plan(cached.plan)
    except (SqlError, _NotRebindable):
        # Planning the whole statement finds another plan, or points to the right place in it.
        return None


def store_relational(
    session: Session, parsed: ParsedStatement, params: Params, service: str, plan: RelationalPlan
) -> None:
    """Cache a plan, unless it depends on more than its key and the columns of what it reads."""
    supplied = [relation for relation in plan.relations if isinstance(relation, SuppliedRelation)]
    # An entry would keep the tables of the caller in memory.
    if any(relation.data is not None for relation in supplied):
        return
    # A subquery that runs by itself has the text of the statement around it.
    if parsed.tree.parent is not None or parsed.tree.find(*CLOCKS) is not None:
        return
    free = _free_parameters(parsed.tree)
    key = _key(session, parsed, params, service, free)
    if key is None:
        return
    try:
        nodes = _target_nodes(parsed, params, service, plan, free)
    except (SqlError, _NotRebindable):
        return
    parsed.tree.meta[_META_KEY] = free
    tables = {name: session.tables[name] for name in named_tables(parsed.tree) if name in session.tables}
    session.plan_cache.store_relational(key, CachedRelationalPlan(plan, tables, nodes))


def _has_same_columns(plan: RelationalPlan) -> Steps[bool]:
    """Whether the files and the tables of PostgreSQL still have the columns that the plan was made for."""
    for relation in plan.relations:
        if not isinstance(relation, SuppliedRelation):
            continue
        describe = partial(describe_supplied, call=relation.call, postgres=relation.postgres)
        try:
            columns: dict[str, str] = yield BlockingCall(describe)
        except SqlError:
            # Planning says it, at its place in the statement.
            return False
        if list(columns.items()) != list(relation.columns.items()):
            return False
    return True


def _key(
    session: Session, parsed: ParsedStatement, params: Params, service: str, free: Mapping[str, exp.Expr]
) -> CacheKey | None:
    key = cache_key(parsed.source.text, params, service, frozenset(free))
    caller = session.caller
    supplied = (caller.files, frozenset(caller.tables), frozenset(caller.postgres.items()))
    return None if key is None else (*key, session.settings, supplied)


def _free_parameters(tree: exp.Expr) -> dict[str, exp.Expr]:
    """The parameters that occur only as targets of distances, with their nodes: some are cast to vectors."""
    if tree.find(Rerank) is not None:
        # A reranking model gets the text of the search, too.
        return {}
    occurrences = Counter(parameter_name(node) for node in tree.find_all(*PARAMETER_NODES))
    targets = [node for node in _operands(tree) if isinstance(without_cast(node), PARAMETER_NODES)]
    counts = Counter(parameter_name(without_cast(node)) for node in targets)
    named = {parameter_name(without_cast(node)): node for node in targets}
    return {
        name: node for name, node in named.items() if name is not None and counts[name] == occurrences[name]
    }


def _operands(tree: exp.Expr) -> list[exp.Expr]:
    """The operands of the distances of a statement."""
    return [
        without_parens(side)
        for distance in tree.find_all(VectorDistance, exp.Func)
        if isinstance(distance, VectorDistance) or is_distance_function(distance)
        for side in distance.iter_expressions()
    ]


@dataclass(frozen=True)
class _Rebinding:
    """New values of free parameters for the targets of a plan."""

    source: SourceText
    params: Params
    context: Context
    nodes: Mapping[int, exp.Expr]

    def plan(self, plan: RelationalPlan) -> RelationalPlan:
        """The plan with its targets bound again. Raises _NotRebindable where two distances become one."""
        relations = tuple(
            _rebuilt(relation, getattr(relation, "table", None), self._target) for relation in plan.relations
        )
        for relation in relations:
            distances = relation.distances if isinstance(relation, CollectionScan) else ()
            measures = [(distance.column, distance.metric, distance.target) for distance in distances]
            if any(measure in measures[:at] for at, measure in enumerate(measures)):
                raise _NotRebindable
        return replace(plan, relations=relations)

    def _target(self, table: Table, holder: DistanceRanking | DistanceColumn) -> Target:
        node = self.nodes.get(id(holder.target))
        if node is None:
            return holder.target
        scope = Scope(self.source, table, table.name, self.params, self.context)
        return rebound_target(scope, holder, node)


def rebound_target(scope: Scope, holder: DistanceRanking | DistanceColumn, node: exp.Expr) -> Target:
    """The target of a distance for the current value of its parameter. Raises SqlError, _NotRebindable."""
    target: Target
    if isinstance(holder, DistanceRanking):
        target = rebind_distance(scope, holder, node).target
    else:
        column = scope.table.column(holder.column)
        target = bind_target(scope, column or scope.table.primary, node)
        if isinstance(target, str) and isinstance(holder.target, EmbeddedText):
            # Milvus embeds the texts of its searches; those of a scan are embedded here.
            target = replace(holder.target, text=target)
    if type(target) is not type(holder.target):
        raise _NotRebindable
    return target


def _target_nodes(
    parsed: ParsedStatement, params: Params, service: str, plan: RelationalPlan, free: Mapping[str, exp.Expr]
) -> dict[int, exp.Expr]:
    """Which parameter gave each target of a plan. Raises _NotRebindable where that cannot be determined."""
    if not free:
        return {}
    nodes: dict[int, exp.Expr] = {}
    fixed = [node for node in _operands(parsed.tree) if parameter_name(without_cast(node)) not in free]

    def note(table: Table, holder: DistanceRanking | DistanceColumn) -> Target:
        scope = Scope(parsed.source, table, table.name, params, Context({}, service))
        matching = [node for node in free.values() if _gives(scope, holder, node)]
        # Distances to equal targets share one, which another of the statement may have given.
        if matching and (len(matching) > 1 or any(_gives(scope, holder, node) for node in fixed)):
            raise _NotRebindable
        if matching:
            nodes[id(holder.target)] = matching[0]
        return holder.target

    for relation in plan.relations:
        _rebuilt(relation, getattr(relation, "table", None), note)
    values = {name: params.values.get(name) for name in free}
    if not nodes or plan.targets or any(_is_inlined(plan.sql, value) for value in values.values()):
        raise _NotRebindable
    return nodes


def _gives(scope: Scope, holder: DistanceRanking | DistanceColumn, node: exp.Expr) -> bool:
    try:
        return rebound_target(scope, holder, node) == holder.target
    except (SqlError, _NotRebindable):
        return False


def _is_inlined(sql: str, value: object) -> bool:
    """Whether a statement may hold a parameter's value itself."""
    if value is None:
        # A distance to NULL is one.
        return True
    if isinstance(value, str):
        return value.replace("'", "''") in sql
    # Lists become constants that are cast to vectors.
    return "AS FLOAT[]" in sql or "AS BIT" in sql


_Visit = Callable[[Table, "DistanceRanking | DistanceColumn"], Target]


def _rebuilt(value: Any, table: Table | None, visit: _Visit) -> Any:
    """A part of a plan with other targets in its distances: the same object where nothing changes."""
    if isinstance(value, (DistanceRanking, DistanceColumn)):
        if table is None:
            raise _NotRebindable
        target = visit(table, value)
        return value if target is value.target else replace(value, target=target)
    if isinstance(value, _LEAVES):
        return value
    if isinstance(value, tuple):
        items = tuple(_rebuilt(item, table, visit) for item in value)
        unchanged = all(new is old for new, old in zip(items, value, strict=True))
        return value if unchanged else items
    if is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for entry in fields(value):
            old = getattr(value, entry.name)
            new = _rebuilt(old, table, visit)
            if new is not old:
                changed[entry.name] = new
        return replace(value, **changed) if changed else value
    return value
