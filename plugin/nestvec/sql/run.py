"""A plan to an answer, by one call of Milvus. Texts go as texts: Milvus has them embedded."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pymilvus import MilvusClient

from nestvec.milvus import load_lite, milvus_errors
from nestvec.sql.bind import MAX_ROWS
from nestvec.sql.nearest import Nearest
from nestvec.sql.outputs import Output
from nestvec.sql.plan import Plan
from nestvec_schemas.errors import SqlNotSupported

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """Rows as Milvus gives them: numbers, texts, booleans, None; a vector is a list of floats.

    ``seconds`` is the time that Milvus took, with the embedding of the text.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    seconds: float


@dataclass(frozen=True)
class _Found:
    """A row's fields, and its distance where the rows were searched for."""

    row: Mapping[str, Any]
    distance: float = 0.0


_DISTANCES: dict[str, Callable[[float], float]] = {
    # Milvus answers with the similarity, or with the square of the Euclidean distance.
    "COSINE": lambda found: 1.0 - found,
    "IP": lambda found: -found,
    "L2": lambda found: math.sqrt(max(found, 0.0)),
}


def run_plan(client: MilvusClient, plan: Plan) -> Answer:
    """Ask Milvus. Raises StoreRefused, StoreUnreachable; SqlNotSupported where rows would be lost unseen."""
    load_lite(client, plan.collection)
    started = time.perf_counter()
    found: list[_Found] = []
    if plan.limit > 0:
        with milvus_errors(f"querying collection {plan.collection}"):
            found = _search(client, plan, plan.nearest) if plan.nearest else _query(client, plan)
    if plan.every_row and len(found) >= plan.limit:
        raise SqlNotSupported(
            f"an answer of {plan.offset + len(found):,} rows or more without LIMIT is not supported",
            next_step=f"Milvus gives at most {MAX_ROWS:,} rows: add LIMIT, or narrow it with WHERE.",
        )
    rows = tuple(tuple(_cell(output, one) for output in plan.outputs) for one in found)
    return Answer(plan.columns, rows, time.perf_counter() - started)


def _query(client: MilvusClient, plan: Plan) -> list[_Found]:
    found = client.query(
        plan.collection,
        filter=plan.filter,
        output_fields=list(plan.fields),
        limit=plan.limit,
        offset=plan.offset,
    )
    return [_Found(row) for row in found]


def _search(client: MilvusClient, plan: Plan, nearest: Nearest) -> list[_Found]:
    found = client.search(
        plan.collection,
        data=[nearest.target if isinstance(nearest.target, str) else list(nearest.target)],
        anns_field=nearest.column,
        filter=plan.filter,
        limit=plan.limit,
        output_fields=list(plan.fields),
        search_params={"metric_type": nearest.metric, "offset": plan.offset},
    )
    return [_Found(hit["entity"], _DISTANCES[nearest.metric](float(hit["distance"]))) for hit in found[0]]


def _cell(output: Output, found: _Found) -> Any:
    if output.kind == "column":
        return found.row[output.column]
    return found.distance if output.kind == "distance" else 1.0 - found.distance
