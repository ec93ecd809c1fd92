"""Shell completion of the names of encoders and collections; no names if they cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import click


def complete_encoders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The encoders of the repository at ``--models``, or in ``NESTVEC_MODELS``."""
    from nestvec_schemas.repository import encoder_names

    models = ctx.params.get("models") or os.environ.get("NESTVEC_MODELS") or "models"
    return [name for name in encoder_names(Path(models)) if name.startswith(incomplete)]


def complete_collections(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The collections of the Milvus at ``--uri``, or in ``NESTVEC_URI``."""
    uri = ctx.params.get("uri") or os.environ.get("NESTVEC_URI")
    if not uri:
        return []
    from nestvec.collections.lifecycle import collection_names
    from nestvec.milvus.connection import open_milvus
    from nestvec_schemas.errors import NestvecError

    token = ctx.params.get("token") or os.environ.get("NESTVEC_TOKEN", "")
    database = ctx.params.get("database") or ""
    try:
        with open_milvus(uri, token=token, database=database, create=False) as client:
            return [name for name in collection_names(client) if name.startswith(incomplete)]
    except (NestvecError, OSError):
        return []
