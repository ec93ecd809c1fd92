"""Families: vector columns of several lengths that one encoder made of the same text column.

Their vectors are nested (Kusupati et al. 2022, Matryoshka Representation Learning): a shorter one is the
longest, cut and brought to length 1. So the text column stands for all of them in ORDER BY, judged by the
longest, and a search may begin among the shorter ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from nestvec.milvus.catalog import Column, EmbeddingColumn, Table
from nestvec.sql.bind.scope import STRINGS, Scope


@dataclass(frozen=True)
class Family:
    """The vector columns of one text column, shortest first; the last one is what a distance is judged by."""

    source: str
    members: tuple[EmbeddingColumn, ...]

    @property
    def longest(self) -> EmbeddingColumn:
        """Whose distance a statement means that names the text column."""
        return self.members[-1]

    @property
    def shorter(self) -> tuple[EmbeddingColumn, ...]:
        """Those that a search may begin with."""
        return self.members[:-1]


def families(table: Table) -> tuple[Family, ...]:
    """Every family of a table with at least one vector column, in the order of its columns."""
    by_key: dict[tuple[str, str, str, int | None, str], list[EmbeddingColumn]] = {}
    for embedding in table.embeddings:
        metric = table.metrics.get(embedding.column, "")
        key = (embedding.source, embedding.service, embedding.maker, embedding.config.exit, metric)
        by_key.setdefault(key, []).append(embedding)
    return tuple(Family(key[0], _distinct_dims(members)) for key, members in by_key.items())


def _length_and_depth(family: Family) -> tuple[int, bool, int]:
    """The dim of the longest vectors, then their exit, with the last layer as the deepest."""
    layer = family.longest.config.exit
    return family.longest.dim, layer is None, layer or 0


def _distinct_dims(members: list[EmbeddingColumn]) -> tuple[EmbeddingColumn, ...]:
    """One column a dim, by dim; where there are two of a dim, the one that holds floats."""
    by_dim: dict[int, EmbeddingColumn] = {}
    for member in sorted(members, key=lambda member: (member.dim, member.config.form == "float")):
        by_dim[member.dim] = member
    return tuple(by_dim.values())


def resolve_family(scope: Scope, node: exp.Column, metric: str) -> tuple[Column, tuple[str, ...]]:
    """The vector column that a name in ORDER BY means, and the shorter ones that may be searched first.

    A vector column means itself. A text column means its family under this metric; of several exits, the one
    with the longest vectors, then the deepest. Raises SqlUnknownName, SqlNotSupported where several encoders
    or experts make vectors of it.
    """
    column = scope.column(node)
    if column.type not in STRINGS:
        return column, ()
    candidates = [family for family in families(scope.table) if family.source == column.name]
    matching = [
        family for family in candidates if scope.table.metrics.get(family.longest.column) == metric
    ] or candidates
    if not matching:
        return column, ()
    if len({(family.longest.service, family.longest.maker) for family in matching}) > 1:
        columns = ", ".join(member.column for family in matching for member in family.members)
        raise scope.source.not_supported(
            f"a distance of {column.name}, which several encoders embed,", node, f"Name one of {columns}."
        )
    chosen = max(matching, key=_length_and_depth)
    longest = scope.table.column(chosen.longest.column)
    return longest or column, tuple(member.column for member in chosen.shorter)
