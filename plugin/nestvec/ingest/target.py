"""The database that an ingest writes to, as its journal names it: the same in every process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator
from pymilvus import MilvusClient

DEFAULT_DATABASE: Final = "default"
"""Milvus's name of the database of requests that name none."""


def journal_target(uri: str, database: str = "") -> str:
    """The path of a Milvus Lite database, or an address, independently of the current folder; and the
    database there, unless it is that of requests that name none."""
    place = str(Path(uri).resolve()) if uri.endswith(".db") else uri.rstrip("/")
    return place if database in ("", DEFAULT_DATABASE) else f"{place}#{database}"


def former_target(target: str) -> str | None:
    """What ``--database default`` had, before it was that of no ``--database``; None for another database."""
    return None if "#" in target else f"{target}#{DEFAULT_DATABASE}"


def _without_default(target: str) -> str:
    return target.removesuffix(f"#{DEFAULT_DATABASE}")


RecordedTarget = Annotated[str, AfterValidator(_without_default)]
"""A target in a file: some were written with the name of the default database."""


def client_target(client: MilvusClient) -> str:
    """The database of a client: the path of a Milvus Lite database, whose port differs from run to run."""
    config = getattr(client, "_config", None)
    uri, database = str(getattr(config, "uri", "")), str(getattr(config, "db_name", "") or "")
    return journal_target(_lite_path(uri) or uri, database)


def _lite_path(uri: str) -> str | None:
    """The path of the database that Milvus Lite serves in this process at ``uri``."""
    module = sys.modules.get("milvus_lite.server_manager")
    manager = getattr(module, "server_manager_instance", None)
    try:
        port = urlsplit(uri).port
    except ValueError:
        return None
    served = dict(getattr(manager, "_servers", {}))
    return next((path for path, server in served.items() if port is not None and server[2] == port), None)
