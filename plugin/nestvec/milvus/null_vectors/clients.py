"""pymilvus's clients, which read and write NULL in vector columns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, Final
from weakref import WeakValueDictionary

from pymilvus import AsyncMilvusClient, MilvusClient, MilvusException

from nestvec.milvus.null_vectors.names import nulls_property
from nestvec.milvus.null_vectors.rows import (
    NullableVector,
    Row,
    columns_with_null,
    flags_to_read,
    nullable_vectors,
    stored_rows,
    with_nulls,
)
from nestvec.milvus.process_changes import PROCESS_CHANGES, TABLE_SECONDS

_FIRST_NULL_SECONDS: Final = TABLE_SECONDS + 1.0
"""How long the first NULL of a column waits where other processes may read: they know of it after that."""


class NullableColumns:
    """The vector columns of a database's collections that take NULL, as they were last described to any
    client of this process, by the names that were used."""

    def __init__(self, *, shared: bool) -> None:
        self.first_null_seconds = _FIRST_NULL_SECONDS if shared else 0.0
        """How long the first NULL of a column waits before it is written."""
        self._columns: dict[str, tuple[NullableVector, ...]] = {}

    def of(self, collection: str) -> tuple[NullableVector, ...] | None:
        """The columns of a collection; None if it was not described."""
        return self._columns.get(collection)

    def describe(self, collection: str, described: Any) -> tuple[NullableVector, ...]:
        """The columns of a collection, by what Milvus says of it now."""
        columns = nullable_vectors(described)
        self._columns |= {collection: columns, described.get("collection_name") or collection: columns}
        return columns

    def record(self, collection: str, names: Iterable[str]) -> None:
        """Some row is to have a NULL in the columns of these names."""
        self._columns[collection] = tuple(
            replace(vector, has_nulls=vector.has_nulls or vector.column in names)
            for vector in self._columns.get(collection, ())
        )
        PROCESS_CHANGES.add()


_databases: WeakValueDictionary[tuple[str, str], NullableColumns] = WeakValueDictionary()
_lock = Lock()


def nullable_columns(uri: str, database: str, *, shared: bool) -> NullableColumns:
    """Those of one database, for all its clients in this process; ``shared``: others may use it, too."""
    with _lock:
        columns = _databases.get((uri, database))
        if columns is None:
            columns = _databases[uri, database] = NullableColumns(shared=shared)
        return columns


class Client(MilvusClient):  # type: ignore[misc] # pymilvus has no types
    """pymilvus's client. A vector that is NULL is None in rows that are read and written."""

    def __init__(self, *args: Any, nullable: NullableColumns, **kwargs: Any) -> None:
        self.nullable = nullable
        super().__init__(*args, **kwargs)

    def describe_collection(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's."""
        described = super().describe_collection(collection_name, *args, **kwargs)
        self.nullable.describe(collection_name, described)
        return described

    def insert(self, collection_name: str, data: Any, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's."""
        return super().insert(collection_name, self._stored(collection_name, data), *args, **kwargs)

    def upsert(self, collection_name: str, data: Any, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's."""
        rows = self._stored(collection_name, data, partial=bool(kwargs.get("partial_update")))
        return super().upsert(collection_name, rows, *args, **kwargs)

    def query(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's."""
        columns = flags_to_read(self._columns(collection_name), kwargs.get("output_fields"))
        if not columns:
            return super().query(collection_name, *args, **kwargs)
        rows = super().query(collection_name, *args, **_reading(columns, kwargs))
        return [with_nulls(columns, row) for row in rows]

    def query_iterator(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's."""
        columns = flags_to_read(self._columns(collection_name), kwargs.get("output_fields"))
        if not columns:
            return super().query_iterator(collection_name, *args, **kwargs)
        return _Pages(super().query_iterator(collection_name, *args, **_reading(columns, kwargs)), columns)

    def search(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's; rows whose vector is NULL are left out by the filter of the caller."""
        columns = flags_to_read(self._columns(collection_name), kwargs.get("output_fields"))
        if not columns:
            return super().search(collection_name, *args, **kwargs)
        return _hits(super().search(collection_name, *args, **_reading(columns, kwargs)), columns)

    def hybrid_search(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's; rows whose vector is NULL are left out by the filters of the caller."""
        columns = flags_to_read(self._columns(collection_name), kwargs.get("output_fields"))
        if not columns:
            return super().hybrid_search(collection_name, *args, **kwargs)
        return _hits(super().hybrid_search(collection_name, *args, **_reading(columns, kwargs)), columns)

    def _columns(self, collection: str) -> tuple[NullableVector, ...]:
        columns = self.nullable.of(collection)
        if columns is not None:
            return columns
        try:
            return self.nullable.describe(collection, super().describe_collection(collection))
        except MilvusException:
            # The caller's own request meets it too.
            return ()

    def _stored(self, collection: str, data: Any, *, partial: bool = False) -> Any:
        columns = self._columns(collection)
        if not columns:
            return data
        rows = [data] if isinstance(data, dict) else data
        first = _first_nulls(columns, rows, partial=partial)
        if first:
            self.alter_collection_properties(collection, _properties(first))
            self.nullable.record(collection, first)
            time.sleep(self.nullable.first_null_seconds)
        return stored_rows(self._columns(collection), rows, partial=partial)


class AsyncClient(AsyncMilvusClient):  # type: ignore[misc] # pymilvus has no types
    """Async version of ``Client``."""

    def __init__(self, *args: Any, nullable: NullableColumns, **kwargs: Any) -> None:
        self.nullable = nullable
        super().__init__(*args, **kwargs)

    async def describe_collection(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's."""
        described = await super().describe_collection(collection_name, *args, **kwargs)
        self.nullable.describe(collection_name, described)
        return described

    async def insert(self, collection_name: str, data: Any, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's."""
        return await super().insert(
            collection_name, await self._stored(collection_name, data), *args, **kwargs
        )

    async def upsert(self, collection_name: str, data: Any, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's."""
        rows = await self._stored(collection_name, data, partial=bool(kwargs.get("partial_update")))
        return await super().upsert(collection_name, rows, *args, **kwargs)

    async def query(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's."""
        columns = flags_to_read(await self._columns(collection_name), kwargs.get("output_fields"))
        if not columns:
            return await super().query(collection_name, *args, **kwargs)
        rows = await super().query(collection_name, *args, **_reading(columns, kwargs))
        return [with_nulls(columns, row) for row in rows]

    async def search(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's; rows whose vector is NULL are left out by the filter of the caller."""
        columns = flags_to_read(await self._columns(collection_name), kwargs.get("output_fields"))
        if not columns:
            return await super().search(collection_name, *args, **kwargs)
        return _hits(await super().search(collection_name, *args, **_reading(columns, kwargs)), columns)

    async def hybrid_search(self, collection_name: str, *args: Any, **kwargs: Any) -> Any:
        """As pymilvus's; rows whose vector is NULL are left out by the filters of the caller."""
        columns = flags_to_read(await self._columns(collection_name), kwargs.get("output_fields"))
        if not columns:
            return await super().hybrid_search(collection_name, *args, **kwargs)
        hits = await super().hybrid_search(collection_name, *args, **_reading(columns, kwargs))
        return _hits(hits, columns)

    async def _columns(self, collection: str) -> tuple[NullableVector, ...]:
        columns = self.nullable.of(collection)
        if columns is not None:
            return columns
        try:
            return self.nullable.describe(collection, await super().describe_collection(collection))
        except MilvusException:
            # The caller's own request meets it too.
            return ()

    async def _stored(self, collection: str, data: Any, *, partial: bool = False) -> Any:
        columns = await self._columns(collection)
        if not columns:
            return data
        rows = [data] if isinstance(data, dict) else data
        first = _first_nulls(columns, rows, partial=partial)
        if first:
            await self.alter_collection_properties(collection, _properties(first))
            self.nullable.record(collection, first)
            await asyncio.sleep(self.nullable.first_null_seconds)
        return stored_rows(await self._columns(collection), rows, partial=partial)


class _Pages:
    """pymilvus's iterator over rows, with NULLs."""

    def __init__(self, pages: Any, columns: Sequence[NullableVector]) -> None:
        self._pages, self._columns = pages, columns

    def next(self) -> list[dict[str, Any]]:
        """The next page; empty after the last."""
        return [with_nulls(self._columns, row) for row in self._pages.next()]

    def close(self) -> None:
        """Release what Milvus holds for it."""
        self._pages.close()


def _first_nulls(columns: Sequence[NullableVector], rows: Sequence[Row], *, partial: bool) -> list[str]:
    """The columns whose first NULL is in these rows."""
    return [
        vector.column for vector in columns_with_null(columns, rows, partial=partial) if not vector.has_nulls
    ]


def _properties(columns: Iterable[str]) -> dict[str, str]:
    return {nulls_property(name): "true" for name in columns}


def _reading(columns: Sequence[NullableVector], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a request that reads the flags, too."""
    fields = [*kwargs["output_fields"], *(vector.flag for vector in columns)]
    return {**kwargs, "output_fields": list(dict.fromkeys(fields))}


def _hits(hit_lists: Any, columns: Sequence[NullableVector]) -> list[list[dict[str, Any]]]:
    return [
        [{**hit, "entity": with_nulls(columns, hit["entity"])} for hit in list(hits)] for hits in hit_lists
    ]
