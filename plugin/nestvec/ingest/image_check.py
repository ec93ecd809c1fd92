"""Rows whose pictures cannot be had: found before one request to Milvus holds them with all the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from nestvec.client.http import Coding
from nestvec.client.service_client import ask_info, ask_unread
from nestvec.milvus.catalog import Embedding, Table
from nestvec.milvus.providers import environment_key
from nestvec_schemas.errors import RowRejected, ServiceError

OnError = Literal["reject", "service"]
"""What becomes of a row whose picture cannot be had: it is left out, or the service's own setting counts,
which refuses all rows of the request or gives this one a vector of zeros."""


def seeing(table: Table) -> tuple[Embedding, ...]:
    """The embeddings of ``table`` whose encoders read pictures, one for each source and encoder.

    None where the service does not answer here: Milvus may reach it all the same.
    """
    found = {(one.source, one.endpoint.service, one.maker): one for one in table.embeddings}
    readers = {service: frozenset(_readers(service)) for service in table.services}
    return tuple(one for one in found.values() if one.endpoint.encoder in readers[one.endpoint.service])


def _readers(service: str) -> Iterator[str]:
    key = environment_key()
    try:
        info = ask_info(service, key.api_key if key else None)
    except ServiceError:
        return
    yield from (name for name, one in info.encoders.items() if one.pictures)


def unreadable(
    embeddings: Sequence[Embedding], rows: Sequence[Mapping[str, object]]
) -> dict[int, RowRejected]:
    """The places of the rows that ``embeddings`` cannot be made of, and why; all others are made and
    remembered. Raises ServiceUnreachable, ServiceRefused."""
    found: dict[int, RowRejected] = {}
    key = environment_key()
    for one in embeddings:
        places = [at for at, row in enumerate(rows) if one.source in row and at not in found]
        if not places:
            continue
        texts = [str(rows[at][one.source]) for at in places]
        # Milvus Lite's openai provider alone sends no prompt.
        prompted = one.endpoint.provider != "openai"
        coding = Coding(one.endpoint.service, one.endpoint.name, one.dim)
        bad = ask_unread(coding, texts, key.api_key if key else None, prompted=prompted)
        found |= {places[at]: _of_column(one.source, error) for at, error in bad.items()}
    return found


def _of_column(source: str, error: RowRejected) -> RowRejected:
    cause = f"column {source}: {error.cause}"
    if error.value is None:
        return RowRejected(cause, next_step=error.next_step)
    return RowRejected(cause, value=error.value, next_step=error.next_step)
