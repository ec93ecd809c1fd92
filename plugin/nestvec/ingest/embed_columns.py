"""Columns that no Function of Milvus fills: nestvec has the service embed them as it writes the rows."""

from __future__ import annotations

from collections.abc import Sequence

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec_schemas.embedding_config import CLIENT_SIDE_FORMS


def client_side_columns(table: Table) -> tuple[EmbeddingColumn, ...]:
    """The columns that nestvec fills as it writes the rows."""
    return tuple(column for column in table.embeddings if column.config.form in CLIENT_SIDE_FORMS)


def embed_columns(table: Table, rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The rows with these columns: bytes, the most significant bit first, where the column is binary; words'
    ids and their weights if it is sparse.

    A table without such columns costs nothing, and neither do rows without their sources.
    Raises ServiceUnreachable, ServiceRefused.
    """
    embedded_rows = [dict(row) for row in rows]
    for column in client_side_columns(table):
        if embedded_rows and column.source not in embedded_rows[0]:
            continue
        request = EmbeddingRequest(column.service, column.config)
        texts = [str(row[column.source]) for row in embedded_rows]
        for row, vector in zip(embedded_rows, embed(request, texts, environment_api_key()), strict=True):
            row[column.column] = vector
    return embedded_rows
