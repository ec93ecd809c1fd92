"""Nested embedding fields in pymilvus's own idiom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymilvus import CollectionSchema, MilvusClient
from pymilvus.milvus_client import IndexParams

from nestvec.providers import Provider


@dataclass(frozen=True)
class Index:
    """How one vector field is indexed: Milvus's index type, metric and build params."""

    type: str = "AUTOINDEX"
    metric: str = "COSINE"
    params: Mapping[str, Any] = field(default_factory=dict)


def add_embedding(
    schema: CollectionSchema,
    source: str,
    *,
    encoder: str,
    dims: Sequence[int],
    service: str,
    client: MilvusClient | None = None,
    provider: Provider | None = None,
) -> None:
    """Add a vector field ``{source}_{dim}`` per dim to ``schema``, filled by Milvus from ``source``."""
    raise NotImplementedError


def index_params(schema: CollectionSchema, indexes: Mapping[str, Index] | None = None) -> IndexParams:
    """An index for every vector field that the schema's functions fill; ``indexes`` overrides by name."""
    raise NotImplementedError
