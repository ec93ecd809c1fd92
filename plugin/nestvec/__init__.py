"""nestvec: your own encoder inside Milvus, every vector nested."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec.registration import Index, ServiceKey, add_embedding, index_params

__all__ = ["Index", "ServiceKey", "__version__", "add_embedding", "index_params"]

__version__ = version("nestvec")


def __getattr__(name: str) -> Any:
    """Public names on first use: pymilvus alone takes a second to import, and help must not."""
    if name in __all__:
        return getattr(importlib.import_module("nestvec.registration"), name)
    raise AttributeError(f"module 'nestvec' has no attribute {name!r}")
