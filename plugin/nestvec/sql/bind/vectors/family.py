"""Families: vector columns of different dims that one encoder computes from the same text column.

Their vectors are nested (Kusupati et al. 2022, Matryoshka Representation Learning): a shorter one is the
longest one, truncated and normalised. So ORDER BY may name the text column, which means the longest vectors,
and a search may start with shorter ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from nestvec.milvus.catalog import Column, EmbeddingColumn, Table
from nestvec.sql.bind.scope import STRINGS, Scope


@dataclass(frozen=True)
class Family:
    """The vector columns of one text column, shortest first."""

    source: str
    members: tuple[EmbeddingColumn, ...]

    @property
    def longest(self) -> EmbeddingColumn:
        """The column whose distance a statement means when it names the text column."""
        return self.members[-1]

    @property
    def shorter(self) -> tuple[EmbeddingColumn, ...]:
        """The columns that a search may start with."""
        return self.members[:-1]


def families(table: Table) -> tuple[Family, ...]:
    """The families of a table, in the order of its columns."""
    by_key: dict[tuple[str, str, str, int | None, str], list[EmbeddingColumn]] = {}
    for embedding in table.embeddings:
        metric = table.metrics.get(embedding.column, "")
        key = (embedding.source, embedding.service, embedding.encoder_name, embedding.config.exit, metric)
        by_key.setdefault(key, []).append(embedding)
    return tuple(Family(key[0], _distinct_dims(members)) for key, members in by_key.items())


def _length_and_depth(family: Family) -> tuple[int, bool, int]:
    """The dim of the longest vectors, then their exit, with the last layer as the deepest."""
    layer = family.longest.config.exit
    return family.longest.dim, layer is None, layer or 0


def _distinct_dims(members: list[EmbeddingColumn]) -> tuple[EmbeddingColumn, ...]:
    """One column per dim, in order of dim; of two with the same dim, the one with floats."""
    by_dim: dict[int, EmbeddingColumn] = {}
    for member in sorted(members, key=lambda member: (member.dim, member.config.form == "float")):
        by_dim[member.dim] = member
    return tuple(by_dim.values())


def resolve_family(scope: Scope, node: exp.Column, metric: str) -> tuple[Column, tuple[str, ...]]:
    """The vector column that a name in ORDER BY refers to, and the shorter ones that may be searched first.

    A vector column refers to itself, a text column to its family with this metric; of several exits, the one
    with the longest vectors, then the deepest. Raises SqlUnknownName, and SqlNotSupported if several
    encoders or experts embed the text.
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
    if len({(family.longest.service, family.longest.encoder_name) for family in matching}) > 1:
        columns = ", ".join(member.column for family in matching for member in family.members)
        raise scope.source.not_supported(
            f"a distance of {column.name}, which several encoders embed,", node, f"Name one of {columns}."
        )
    chosen = max(matching, key=_length_and_depth)
    longest = scope.table.column(chosen.longest.column)
    return longest or column, tuple(member.column for member in chosen.shorter)
