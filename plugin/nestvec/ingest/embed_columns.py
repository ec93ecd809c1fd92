"""Columns that no function of Milvus fills: their service is asked as the rows are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from nestvec.client.http import Coding
from nestvec.client.service_client import ask_bits, ask_weights
from nestvec.milvus.catalog import Embedding, Table
from nestvec.milvus.providers import environment_key
from nestvec_schemas.spec.collection_spec import FILLED_HERE, Form

_ASK: Final[dict[Form, Callable[..., Sequence[Any]]]] = {"binary": ask_bits, "sparse": ask_weights}


def filled_here(table: Table) -> tuple[Embedding, ...]:
    """The columns that are filled here."""
    return tuple(one for one in table.embeddings if one.form in FILLED_HERE)


def with_filled(table: Table, rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The rows with these columns: of a binary one bytes, the most significant bit first; of a sparse one
    words' ids and their weights.

    A table without such columns costs nothing, and neither do rows without their sources.
    Raises ServiceUnreachable, ServiceRefused.
    """
    filled = [dict(row) for row in rows]
    key = environment_key()
    for one in filled_here(table):
        if filled and one.source not in filled[0]:
            continue
        coding = Coding(one.endpoint.service, one.endpoint.name, one.dim, one.top)
        texts = [str(row[one.source]) for row in filled]
        made = _ASK[one.form](coding, texts, key.api_key if key else None)
        for row, vector in zip(filled, made, strict=True):
            row[one.column] = vector
    return filled
