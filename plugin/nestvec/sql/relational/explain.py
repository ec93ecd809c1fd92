"""EXPLAIN of a relational plan: what Milvus reads, what DuckDB does with it, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nestvec.sql.plan.explain import ExplainNode, count_of, describe_target, explain_node
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.relational.relations import (
    CollectionScan,
    JoinFilter,
    RankingScan,
    Relation,
    RelationalPlan,
    SuppliedRelation,
)
from nestvec.sql.relational.run import RelationCounts

_MAX_STATEMENT: Final = 2_000
"""Characters of a statement for DuckDB that a plan shows."""


def explain_relational(
    plan: RelationalPlan, row_counts: Mapping[str, int], counts: RelationCounts | None
) -> ExplainNode:
    """The tree of a plan. ``row_counts`` are the rows of collections; ``counts`` what ANALYZE measured."""
    shown = plan.sql if len(plan.sql) <= _MAX_STATEMENT else plan.sql[:_MAX_STATEMENT] + " …"
    details = [("columns", ", ".join(plan.columns)), ("statement", shown)]
    if plan.reason:
        details.append(("why", plan.reason))
    if plan.services:
        details.append(("embedded by", ", ".join(plan.services)))
    children = tuple(_explain(relation, row_counts, counts) for relation in plan.relations)
    return ExplainNode("Answer by DuckDB", tuple(details), children, plan)


def _explain(relation: Relation, row_counts: Mapping[str, int], counts: RelationCounts | None) -> ExplainNode:
    measured = _measured(relation, counts)
    if isinstance(relation, SuppliedRelation):
        postgres = relation.postgres
        origin = relation.call or ("a table of the caller" if postgres is None else postgres.label)
        details = [] if relation.join_filter is None else [_joined(relation.join_filter)]
        return ExplainNode(f"{relation.name}: {origin}", (*details, *measured), (), relation)
    if isinstance(relation, RankingScan):
        details = [("columns", ", ".join(relation.plan.columns))]
        if relation.residual is not None:
            details.append(("checked by DuckDB", relation.residual.sql))
            details.append(("widened", f"until {count_of(relation.row_goal, 'row')} pass, or the data ends"))
        details += [("note", note) for note in relation.plan.notes]
        title = f"{relation.name}: the rows that Milvus ranks"
        return ExplainNode(title, (*details, *measured), (explain_node(relation.plan.node),), relation)
    return _explain_scan(relation, row_counts, measured)


def _explain_scan(
    scan: CollectionScan, row_counts: Mapping[str, int], measured: list[tuple[str, str]]
) -> ExplainNode:
    details = [("fields", ", ".join(scan.columns))]
    condition = render_filter(scan.condition)
    if condition:
        details.append(("filter", condition))
    if scan.join_filter is not None:
        details.append(_joined(scan.join_filter))
    for distance in scan.distances:
        measure = f"{distance.metric} of {distance.column} to {describe_target(distance.target)}"
        details.append((distance.name, f"{measure}, exact, by nestvec"))
    total = row_counts.get(scan.table.name)
    if scan.limit is not None:
        details.append(("expected", f"at most {count_of(scan.limit, 'row')}"))
    elif total is not None:
        bound = "at most " if condition or scan.join_filter else ""
        details.append(("expected", f"{bound}{count_of(total, 'row')}"))
    return ExplainNode(
        f"{scan.name}: rows of {scan.table.name}, read from Milvus", (*details, *measured), (), scan
    )


def _joined(join: JoinFilter) -> tuple[str, str]:
    return "filter", f"{join.column} in {join.relation}.{join.relation_column}"


def _measured(relation: Relation, counts: RelationCounts | None) -> list[tuple[str, str]]:
    if counts is None or relation.name not in counts.rows:
        return []
    seconds = counts.seconds[relation.name]
    return [("read", f"{count_of(counts.rows[relation.name], 'row')} in {seconds * 1000:.1f} ms")]
