"""Families: vector columns of several lengths that one encoder made of the same text column.

Their vectors are nested (Kusupati et al. 2022, Matryoshka Representation Learning): a shorter one is the
longest, cut and brought to length 1. So the text column stands for all of them in ORDER BY, judged by the
longest, and a search may begin among the shorter ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from nestvec.milvus.catalog import Column, Embedding, Table
from nestvec.sql.bind.scope import STRINGS, Scope


@dataclass(frozen=True)
class Family:
    """The vector columns of one text column, shortest first; the last one is what a distance is judged by."""

    source: str
    members: tuple[Embedding, ...]

    @property
    def longest(self) -> Embedding:
        """Whose distance a statement means that names the text column."""
        return self.members[-1]

    @property
    def shorter(self) -> tuple[Embedding, ...]:
        """Those that a search may begin with."""
        return self.members[:-1]


def families(table: Table) -> tuple[Family, ...]:
    """Every family of a table with at least one vector column, in the order of its columns."""
    found: dict[tuple[str, str, str, int | None, str], list[Embedding]] = {}
    for one in table.embeddings:
        metric = table.metrics.get(one.column, "")
        key = (one.source, one.endpoint.service, one.maker, one.exit, metric)
        found.setdefault(key, []).append(one)
    return tuple(Family(key[0], _nested(members)) for key, members in found.items())


def _nested(members: list[Embedding]) -> tuple[Embedding, ...]:
    """One column a dim, by dim; where there are two of a dim, the one that holds floats."""
    by_dim: dict[int, Embedding] = {}
    for one in sorted(members, key=lambda one: (one.dim, one.form == "float")):
        by_dim[one.dim] = one
    return tuple(by_dim.values())


def in_family(scope: Scope, node: exp.Column, metric: str) -> tuple[Column, tuple[str, ...]]:
    """The vector column that a name in ORDER BY means, and the shorter ones that may be searched first.

    A vector column means itself. A text column means its family under this metric; of several exits, the one
    with the longest vectors, then the deepest. Raises SqlUnknownName, SqlNotSupported where several encoders
    or experts make vectors of it.
    """
    column = scope.column(node)
    if column.type not in STRINGS:
        return column, ()
    own = [one for one in families(scope.table) if one.source == column.name]
    fitting = [one for one in own if scope.table.metrics.get(one.longest.column) == metric] or own
    if not fitting:
        return column, ()
    if len({(one.longest.endpoint.service, one.longest.maker) for one in fitting}) > 1:
        columns = ", ".join(member.column for one in fitting for member in one.members)
        raise scope.source.not_supported(
            f"a distance of {column.name}, which several encoders embed,", node, f"Name one of {columns}."
        )
    chosen = max(fitting, key=lambda one: (one.longest.dim, one.longest.exit is None, one.longest.exit or 0))
    longest = scope.table.column(chosen.longest.column)
    return longest or column, tuple(one.column for one in chosen.shorter)
