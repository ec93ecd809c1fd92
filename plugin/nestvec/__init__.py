"""nestvec: your own encoder inside Milvus, every vector nested."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nestvec._version import __version__

if TYPE_CHECKING:
    from nestvec.dbapi import aconnect, connect
    from nestvec.milvus.indexes import Index, field_notes, index_params
    from nestvec.milvus.registration import EmbeddingOptions, ServiceKey, add_embedding
    from nestvec_schemas.embedding_config import EmbeddingConfig

__all__ = [
    "EmbeddingConfig",
    "EmbeddingOptions",
    "Index",
    "ServiceKey",
    "__version__",
    "aconnect",
    "add_embedding",
    "connect",
    "field_notes",
    "index_params",
]

_HOMES = {
    "aconnect": "nestvec.dbapi",
    "connect": "nestvec.dbapi",
    "EmbeddingConfig": "nestvec_schemas.embedding_config",
    "Index": "nestvec.milvus.indexes",
    "field_notes": "nestvec.milvus.indexes",
    "index_params": "nestvec.milvus.indexes",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: pymilvus alone takes a second, which ``--help`` must not."""
    if name in __all__:
        home = _HOMES.get(name, "nestvec.milvus.registration")
        return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'nestvec' has no attribute {name!r}")
