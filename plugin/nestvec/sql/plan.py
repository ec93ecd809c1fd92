"""A bound query to what Milvus is asked."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec.sql.bind import MAX_ROWS, Query
from nestvec.sql.filter import render
from nestvec.sql.nearest import Nearest
from nestvec.sql.outputs import Output


@dataclass(frozen=True)
class Plan:
    """One call: a search where ``nearest`` is set, else a query.

    ``every_row``: no LIMIT was written, so an answer as long as ``limit`` may be cut off and is refused.
    ``services``: the base URLs that Milvus calls to embed the text.
    """

    collection: str
    outputs: tuple[Output, ...]
    filter: str
    fields: tuple[str, ...]
    nearest: Nearest | None
    limit: int
    offset: int
    every_row: bool = False
    services: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the answer's columns."""
        return tuple(output.name for output in self.outputs)


def make_plan(query: Query) -> Plan:
    """Plan a bound query. Raises SqlNotSupported where a column's name has no place in a filter."""
    fields = dict.fromkeys(output.column for output in query.outputs if output.kind == "column")
    nearest = query.nearest
    embedding = query.table.embedding(nearest.column) if nearest else None
    embeds = embedding is not None and nearest is not None and isinstance(nearest.target, str)
    return Plan(
        collection=query.table.name,
        outputs=query.outputs,
        filter=render(query.where),
        fields=tuple(fields),
        nearest=nearest,
        limit=MAX_ROWS - query.offset if query.limit is None else query.limit,
        offset=query.offset,
        every_row=query.limit is None,
        services=(embedding.endpoint.service,) if embedding is not None and embeds else (),
    )
