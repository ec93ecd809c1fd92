"""Columns that no Function of Milvus fills: nestvec has the service embed them as it writes the rows."""

from __future__ import annotations

from collections.abc import Sequence

from pymilvus import MilvusClient

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.catalog import EmbeddingColumn, Table, described_embeddings
from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.embedding_config import CLIENT_SIDE_FORMS
from nestvec_schemas.errors import StoreRefused
from nestvec_schemas.model_name import format_model_name


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


def check_embedded_as(client: MilvusClient, table: Table) -> None:
    """Raise StoreRefused if a column that nestvec fills is made otherwise now than ``table`` says.

    Its vectors may be made anew by another encoder while rows are written: the collection's name leads to
    another one then, and no Milvus compares the vectors that it is given. Raises StoreError.
    """
    columns = client_side_columns(table)
    if not columns:
        return
    with milvus_errors(f"describing collection {table.name}"):
        described = client.describe_collection(table.name)
    present = {column.column: column for column in described_embeddings(described)}
    for column in columns:
        now = present.get(column.column)
        if now is not None and (now, now.config.fingerprint) == (column, column.config.fingerprint):
            continue
        raise StoreRefused(
            f"{table.name}.{column.column} is embedded otherwise since this began, and vectors of two "
            "encoders must not mix",
            value=f"now {_described(now)}, before {_described(column)}",
            next_step="Run it again: it goes on with the encoder of now.",
        )


def _described(column: EmbeddingColumn | None) -> str:
    if column is None:
        return "by none"
    recorded = column.config.fingerprint or "not recorded"
    return f"by {format_model_name(column.config)}, fingerprint {recorded}"
