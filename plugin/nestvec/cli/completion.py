"""Shell completion of the names of encoders and collections; no names if they cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import click

_SECONDS = 2.0


def complete_encoders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The encoders of the repository at ``--models`` or ``--to``, or in ``NESTVEC_MODELS``."""
    from nestvec_schemas.repository import encoder_names

    models = ctx.params.get("models") or ctx.params.get("to") or os.environ.get("NESTVEC_MODELS") or "models"
    return [name for name in encoder_names(Path(models)) if name.startswith(incomplete)]


def complete_collections(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The collections of the Milvus at ``--uri``, or in ``NESTVEC_URI``."""
    uri = ctx.params.get("uri") or os.environ.get("NESTVEC_URI")
    if not uri:
        return []
    from nestvec.collections.lifecycle import collection_names
    from nestvec.milvus.address import ConnectSettings
    from nestvec.milvus.connection import open_milvus
    from nestvec_schemas.errors import NestvecError

    values = {name: _value(ctx, name) for name in ("token", "database", "server_name")}
    files = {name: _value(ctx, name) for name in ("ca_file", "client_cert", "client_key")}
    paths = {name: Path(file) if file else None for name, file in files.items()}
    # Somebody waits at a prompt.
    settings = ConnectSettings(
        timeout=_SECONDS,
        ca_file=paths["ca_file"],
        client_cert=paths["client_cert"],
        client_key=paths["client_key"],
        server_name=values["server_name"],
    )
    try:
        with open_milvus(
            uri, token=values["token"], database=values["database"], create=False, settings=settings
        ) as client:
            return [name for name in collection_names(client) if name.startswith(incomplete)]
    except (NestvecError, OSError):
        return []


def _value(ctx: click.Context, name: str) -> str:
    """An option's value so far, or that of its environment variable."""
    return str(ctx.params.get(name) or os.environ.get(f"NESTVEC_{name.upper()}", ""))
