"""LATERAL: one plan per query, and which of these plans one search of Milvus answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.lateral import Lateral, Sides, bind_lateral_outputs
from nestvec.sql.parse.source import SourceText
from nestvec.sql.plan.nodes import ForEachQuery, Plan, VectorSearch

MAX_QUERIES_PER_SEARCH: Final = 128
"""Queries in one search: Milvus embeds at most 5 batches of a provider, which is 640 texts with the smallest
batch, and a service embeds this many well within its deadline."""


def plan_lateral(source: SourceText, select: exp.Select, lateral: Lateral, plans: Sequence[Plan]) -> Plan:
    """The plan of a SELECT with LATERAL, from the plan of each query. Raises SqlError."""
    outputs = bind_lateral_outputs(source, select, side_types(lateral, plans))
    return Plan(for_each_query(lateral, plans), outputs, lateral_services(plans))


def side_types(lateral: Lateral, plans: Sequence[Plan]) -> Sides:
    """The columns of both sides, with their types."""
    right_types = {output.name: output.type for output in plans[0].outputs}
    left_types = {
        column: _common_type(row[number] for row in lateral.rows)
        for number, column in enumerate(lateral.columns)
    }
    return {lateral.left: left_types, lateral.right: right_types}


def for_each_query(lateral: Lateral, plans: Sequence[Plan]) -> ForEachQuery:
    """The node of the rows of all queries."""
    return ForEachQuery(
        tuple(plans),
        left=lateral.left,
        columns=lateral.columns,
        rows=lateral.rows,
        right=lateral.right,
        outer=lateral.outer,
    )


def lateral_services(plans: Sequence[Plan]) -> tuple[str, ...]:
    """The services that embed the texts of the plans."""
    return tuple(dict.fromkeys(service for plan in plans for service in plan.services))


def _common_type(values: Iterable[object]) -> str:
    kinds = {_MILVUS_TYPES.get(type(value), "ANY") for value in values if value is not None}
    return kinds.pop() if len(kinds) == 1 else "ANY"


_MILVUS_TYPES: Final = {bool: "BOOL", int: "INT64", float: "DOUBLE", str: "VARCHAR", tuple: "FLOAT_VECTOR"}


def search_batches(plans: tuple[Plan, ...]) -> list[list[int]]:
    """The indexes of the plans that share one search; a plan that is more than a search is by itself."""
    batches: list[list[int]] = []
    open_batches: dict[tuple[VectorSearch, bool], list[int]] = {}
    for number, plan in enumerate(plans):
        node = plan.node
        if not isinstance(node, VectorSearch):
            batches.append([number])
            continue
        template = replace(node, nearest=replace(node.nearest, target=""))
        batch = open_batches.get((template, isinstance(node.nearest.target, str)))
        if batch is None or len(batch) >= MAX_QUERIES_PER_SEARCH:
            batch = open_batches[(template, isinstance(node.nearest.target, str))] = []
            batches.append(batch)
        batch.append(number)
    return batches
