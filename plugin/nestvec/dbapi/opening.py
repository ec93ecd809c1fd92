"""What a connection is opened with."""

from __future__ import annotations

from dataclasses import dataclass, field

from nestvec.sql.settings import SessionSettings


@dataclass(frozen=True)
class ConnectOptions:
    """``uri`` is any that pymilvus takes: a path that ends in ``.db`` (Milvus Lite), or an address."""

    uri: str
    token: str = field(default="", repr=False)
    database: str = ""
    settings: SessionSettings = field(default_factory=SessionSettings)
