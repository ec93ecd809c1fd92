"""Several queries at once: which of their plans one search answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.joined import bind_joined
from nestvec.sql.bind.lateral import Lateral
from nestvec.sql.parse.source import Source
from nestvec.sql.plan.nodes import ForEachQuery, Plan, VectorSearch

MAX_QUERIES_PER_SEARCH: Final = 128
"""Queries of one search: Milvus embeds at most 5 batches of a provider's, 640 texts with the least of them,
and a service answers so many well within its deadline."""


def plan_lateral(source: Source, select: exp.Select, lateral: Lateral, plans: Sequence[Plan]) -> Plan:
    """The plan of a SELECT above LATERAL, from each query's. Raises the errors of ``bind_joined``."""
    right_types = {one.name: one.type for one in plans[0].outputs}
    left_types = {
        column: _common_type(row[number] for row in lateral.rows)
        for number, column in enumerate(lateral.columns)
    }
    outputs = bind_joined(source, select, {lateral.left: left_types, lateral.right: right_types})
    node = ForEachQuery(
        tuple(plans), lateral.left, lateral.columns, lateral.rows, lateral.right, lateral.outer
    )
    services = dict.fromkeys(service for one in plans for service in one.services)
    return Plan(node, outputs, tuple(services))


def _common_type(values: Iterable[object]) -> str:
    kinds = {_MILVUS_TYPES.get(type(value), "ANY") for value in values if value is not None}
    return kinds.pop() if len(kinds) == 1 else "ANY"


_MILVUS_TYPES: Final = {bool: "BOOL", int: "INT64", float: "DOUBLE", str: "VARCHAR", tuple: "FLOAT_VECTOR"}


def search_batches(plans: tuple[Plan, ...]) -> list[list[int]]:
    """The numbers of plans that one search answers; a plan that is more than a search is alone."""
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
