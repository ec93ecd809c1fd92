"""Several queries at once: which of their plans one search answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.joined import bind_joined
from nestvec.sql.bind.lateral import Lateral
from nestvec.sql.language.source import Source
from nestvec.sql.plan.nodes import Each, Plan, Search

AT_ONCE: Final = 128
"""Queries of one search: Milvus embeds at most 5 batches of a provider's, 640 texts with the least of them,
and a service answers so many well within its deadline."""


def plan_each(source: Source, select: exp.Select, lateral: Lateral, plans: Sequence[Plan]) -> Plan:
    """The plan of a SELECT above LATERAL, from each query's. Raises the errors of ``bind_joined``."""
    rights = {one.name: one.type for one in plans[0].outputs}
    lefts = {
        column: _type(row[number] for row in lateral.rows) for number, column in enumerate(lateral.columns)
    }
    outputs = bind_joined(source, select, {lateral.left: lefts, lateral.right: rights})
    node = Each(tuple(plans), lateral.left, lateral.columns, lateral.rows, lateral.right, lateral.outer)
    services = dict.fromkeys(service for one in plans for service in one.services)
    return Plan(node, outputs, tuple(services))


def _type(values: Iterable[object]) -> str:
    kinds = {_TYPES.get(type(one), "ANY") for one in values if one is not None}
    return kinds.pop() if len(kinds) == 1 else "ANY"


_TYPES: Final = {bool: "BOOL", int: "INT64", float: "DOUBLE", str: "VARCHAR", tuple: "FLOAT_VECTOR"}


def batches(plans: tuple[Plan, ...]) -> list[list[int]]:
    """The numbers of plans that one search answers; a plan that is more than a search is alone."""
    found: list[list[int]] = []
    open_: dict[tuple[Search, bool], list[int]] = {}
    for number, plan in enumerate(plans):
        node = plan.node
        if not isinstance(node, Search):
            found.append([number])
            continue
        like = replace(node, nearest=replace(node.nearest, target=""))
        batch = open_.get((like, isinstance(node.nearest.target, str)))
        if batch is None or len(batch) >= AT_ONCE:
            batch = open_[(like, isinstance(node.nearest.target, str))] = []
            found.append(batch)
        batch.append(number)
    return found
