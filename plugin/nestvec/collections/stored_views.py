"""The views of a database: their queries are kept in its properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pymilvus import MilvusClient

from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec_schemas.errors import StoreError, StoreInUse, StoreUnreachable

_PREFIX: Final = "nestvec.view."


@dataclass(frozen=True)
class StoredView:
    """The query of a view."""

    query: str
    columns: tuple[str, ...] = ()
    """Names for its columns; none if they are those of the query."""

    def property_value(self) -> str:
        """How it is written into the properties."""
        return orjson.dumps({"query": self.query, "columns": list(self.columns)}).decode()


def read_views() -> Steps[dict[str, StoredView]]:
    """The views of the database, by name. Raises StoreError."""
    properties: dict[str, Any] = yield BlockingCall(_read_properties)
    views = dict[str, StoredView]()
    for key, value in properties.items():
        if key.startswith(_PREFIX):
            stored = orjson.loads(str(value))
            views[key.removeprefix(_PREFIX)] = StoredView(stored["query"], tuple(stored["columns"]))
    return views


def readable_views() -> Steps[dict[str, StoredView]]:
    """The same; none of a server that has no properties of databases. Raises StoreUnreachable, StoreInUse."""
    try:
        return (yield from read_views())
    except (StoreUnreachable, StoreInUse):
        raise
    except StoreError:
        return {}


def write_view(name: str, view: StoredView) -> Steps[None]:
    """Keep a view. Raises StoreError."""
    yield BlockingCall(_altering({f"{_PREFIX}{name}": view.property_value()}, []))


def delete_views(names: Sequence[str]) -> Steps[None]:
    """Remove views. Raises StoreError."""
    yield BlockingCall(_altering({}, [f"{_PREFIX}{name}" for name in names]))


def _database(client: MilvusClient) -> str:
    return str(getattr(client._config, "db_name", "") or "default")


def _read_properties(client: MilvusClient) -> dict[str, Any]:
    with milvus_errors("reading the views of the database"):
        return dict(client.describe_database(_database(client)))


def _altering(properties: Mapping[str, str], dropped: list[str]) -> Callable[[MilvusClient], None]:
    def alter(client: MilvusClient) -> None:
        with milvus_errors("changing the views of the database"):
            if properties:
                client.alter_database_properties(_database(client), dict(properties))
            if dropped:
                client.drop_database_properties(_database(client), dropped)

    return alter
