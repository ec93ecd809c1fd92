"""The nodes of a plan, as data: the calls of Milvus, and what nestvec does with the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nestvec.sql.bind.highlight import Highlight
from nestvec.sql.bind.order import SortKey
from nestvec.sql.bind.select_list import OutputColumn
from nestvec.sql.bind.thresholds import Threshold
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.rankers import Boosts, DecayRanker
from nestvec.sql.bind.vectors.ranking import FusedRanking
from nestvec.sql.bind.vectors.rerank import ModelReranker


@dataclass(frozen=True)
class Fetch:
    """Rows that match a filter, in no order: Milvus's query."""

    collection: str
    filter: str
    fields: tuple[str, ...]
    limit: int
    offset: int = 0
    every_row: bool = False
    """The statement has no LIMIT, so a result of more than ``limit`` rows is an error."""
    windowed_clause: str = ""
    """The clause that needs every row here (``ORDER BY``, ``GROUP BY``); empty if none does."""


@dataclass(frozen=True)
class VectorSearch:
    """Rows by distance, nearest first: Milvus's search by one vector column."""

    collection: str
    nearest: DistanceRanking
    filter: str
    fields: tuple[str, ...]
    limit: int
    offset: int = 0
    group: str = ""
    """The column whose every value keeps only its nearest row; empty to keep every row."""
    highlight: Highlight | None = None
    """What Milvus marks in a text of each row."""
    exact: bool = False
    """Whether rows that an index misses would change what the statement means, as under a threshold."""
    null_filter: str = ""
    """Matches the rows whose vector is NULL, which come last; empty if there are none."""


@dataclass(frozen=True)
class Rescore:
    """Rows by distance in two searches: a shortlist by a shorter vector, rescored by the longest."""

    shortlist: VectorSearch
    full_search: VectorSearch
    """The search that the statement means; only rows that the shortlist missed may be absent."""
    primary_key: str
    dim: int
    """The dim of the shorter vectors."""
    expected: str = ""
    """The recall that ANALYZE measured for this shortlist, for EXPLAIN."""
    early_stop_gap: float | None = None
    """Where the last row of the shortlist is at least this much farther away than the last row wanted, by the
    shorter vector, the shortlist's own order is kept; None for never."""

    @property
    def collection(self) -> str:
        """The collection that both searches read."""
        return self.full_search.collection

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns of the rows."""
        return self.full_search.fields


@dataclass(frozen=True)
class HybridSearch:
    """Rows by several searches at once, best first: Milvus's hybrid search, which fuses their results."""

    collection: str
    ranking: FusedRanking
    parts: tuple[VectorSearch, ...]
    """The searches; Milvus ignores their fields and offsets."""
    fields: tuple[str, ...]
    limit: int
    offset: int = 0
    reranker: ModelReranker | DecayRanker | None = None
    """What orders the candidates in Milvus, in place of ``ranking``: a model's scores, or a decay of the
    scores of the only part."""
    boosts: Boosts | None = None
    """What changes the scores of the only part, before ``reranker``."""

    @property
    def filter(self) -> str:
        """The filter of every part."""
        return self.parts[0].filter


@dataclass(frozen=True)
class CountRows:
    """One row with the number of rows that match a filter: Milvus's ``count(*)``."""

    collection: str
    filter: str
    fields: tuple[str, ...] = ("count(*)",)


@dataclass(frozen=True)
class SingleRow:
    """One row without columns, for a SELECT without FROM. Milvus is not called."""

    collection: str = ""
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnaryNode:
    """Work that nestvec itself does on the rows of ``input``."""

    input: Node

    @property
    def collection(self) -> str:
        """The collection that the rows come from."""
        return self.input.collection

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns of the rows."""
        return self.input.fields


@dataclass(frozen=True)
class Filter(UnaryNode):
    """The ranked rows within all of the thresholds."""

    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True)
class Sort(UnaryNode):
    """The rows in the order of the keys; rows with equal keys keep their order."""

    keys: tuple[SortKey, ...]


@dataclass(frozen=True)
class TopKWithTies(UnaryNode):
    """``limit`` of the ranked rows after ``offset``, in the order of all ``keys``, the first of which is the
    ranking. ``input`` reads some rows more, so that the ties of the last row are seen."""

    keys: tuple[SortKey, ...]
    limit: int
    offset: int = 0
    with_ties: bool = False
    """Whether every row as far away as the last is kept, for a key that is computed later."""


@dataclass(frozen=True)
class DecayScores(UnaryNode):
    """``limit`` of the candidates after ``offset``, by their scores times the factors of ``decays``."""

    decays: tuple[DecayRanker, ...]
    limit: int
    offset: int = 0


@dataclass(frozen=True)
class Limit(UnaryNode):
    """At most ``limit`` rows after ``offset``; every row after it if ``limit`` is None."""

    limit: int | None
    offset: int = 0


@dataclass(frozen=True)
class ForEachQuery:
    """The rows of several plans of one SELECT, each joined to the row that it was planned for."""

    plans: tuple[Plan, ...]
    left: str
    """The name of the table of queries."""
    columns: tuple[str, ...]
    """Its columns."""
    rows: tuple[tuple[Any, ...], ...]
    """Its rows, one for each plan."""
    right: str
    """The name of the rows that the plans find."""
    outer: bool = False
    """A query that finds nothing keeps its row, as in LEFT JOIN LATERAL."""

    @property
    def collection(self) -> str:
        """The collection that every plan reads."""
        return self.plans[0].node.collection

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns of the rows, qualified by the names of both sides."""
        left = (f"{self.left}.{column}" for column in self.columns)
        return (*left, *(f"{self.right}.{column}" for column in self.plans[0].columns))


Node = (
    Fetch
    | VectorSearch
    | Rescore
    | HybridSearch
    | CountRows
    | SingleRow
    | Filter
    | Sort
    | TopKWithTies
    | DecayScores
    | Limit
    | ForEachQuery
)


def source_of(node: Node) -> Node:
    """The node at the bottom, which reads from Milvus; those above only rearrange its rows."""
    while isinstance(node, UnaryNode):
        node = node.input
    return node


def with_source(node: Node, source: Node) -> Node:
    """The same plan with another node at the bottom."""
    return replace(node, input=with_source(node.input, source)) if isinstance(node, UnaryNode) else source


@dataclass(frozen=True)
class Plan:
    """The node that gives the rows, and the columns of the result."""

    node: Node
    outputs: tuple[OutputColumn, ...]
    services: tuple[str, ...] = ()
    """Base URLs of the services that embed the statement's texts."""
    notes: tuple[str, ...] = ()
    """Why the planner chose this plan, for EXPLAIN."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the result's columns."""
        return tuple(output.name for output in self.outputs)
