"""Binary columns, which no function of Milvus fills: their service is asked as the rows are written."""

from __future__ import annotations

from collections.abc import Sequence

from nestvec.catalog import Embedding, Table
from nestvec.providers import environment_key
from nestvec.service.client import Coding, ask_bits


def binary(table: Table) -> tuple[Embedding, ...]:
    """The columns that are filled here."""
    return tuple(one for one in table.embeddings if one.form == "binary")


def with_bits(table: Table, rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The rows with their binary columns: bytes, the most significant bit first.

    A table without such columns costs nothing, and neither do rows without their sources.
    Raises ServiceUnreachable, ServiceRefused.
    """
    filled = [dict(row) for row in rows]
    key = environment_key()
    for one in binary(table):
        if filled and one.source not in filled[0]:
            continue
        coding = Coding(one.endpoint.service, one.endpoint.name, one.dim)
        texts = [str(row[one.source]) for row in filled]
        for row, code in zip(filled, ask_bits(coding, texts, key.api_key if key else None), strict=True):
            row[one.column] = code
    return filled
