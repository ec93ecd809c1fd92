"""What differs where the server is Milvus Lite."""

from __future__ import annotations

from pymilvus import MilvusClient
from pymilvus.client.types import LoadState

from nestvec.milvus.connection import HasServerVersion, milvus_errors
from nestvec.milvus.server_version import read_version


def is_lite(client: HasServerVersion) -> bool:
    """Whether a connection's server is Milvus Lite. Raises StoreError."""
    return read_version(client).lite


def load_lite(client: MilvusClient, collection: str) -> None:
    """Load a collection of Milvus Lite, which opens with none loaded. On a server, that is up to its
    operator."""
    with milvus_errors(f"loading collection {collection}"):
        released = client.get_load_state(collection)["state"] == LoadState.NotLoad
    if released and is_lite(client):
        with milvus_errors(f"loading collection {collection}"):
            client.load_collection(collection)
