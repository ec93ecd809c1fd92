"""Vectors made again, to be compared with those of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.catalog import EmbeddingColumn


def embed_as_written(
    column: EmbeddingColumn, texts: Sequence[str], fingerprint: str | None = None
) -> Iterable[Any]:
    """A vector per text, as a row of the column receives it, whoever requests it: Milvus Lite does not say
    that a text is a document, so that no document's prompt is put before it.

    ``fingerprint``: of the encoder that must make them; None for the one that the column records.
    Raises ServiceUnreachable, ServiceRefused.
    """
    config = column.config if fingerprint is None else replace(column.config, fingerprint=fingerprint)
    request = EmbeddingRequest(column.service, config, column.endpoint.sends_prompts)
    return embed(request, texts, environment_api_key())
