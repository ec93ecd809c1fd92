"""Whether the rows of an interrupted ingest are still in the collection of its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.ingest.batches import RowBatch
from nestvec.ingest.journal import Progress
from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.lite import is_loaded
from nestvec_schemas.errors import JournalMismatch

ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
"""Of a text in a filter."""

_SAMPLED_KEYS: Final = 4


def key_filter(key: Column, values: Sequence[object]) -> str:
    """The filter for the rows of these keys: pymilvus does not escape the keys that it takes as ids."""
    return f"{key.name} in [{', '.join(map(_literal, values))}]"


@dataclass(frozen=True)
class WrittenCollection:
    """A collection that rows are written to, by what tells it from another one of its name."""

    table: Table

    id: int
    """Milvus's id of it; 0 if it has none, as in Milvus Lite."""

    def check_has_rows_of(self, reached: Progress, client: MilvusClient) -> None:
        """Raise JournalMismatch if this is not the collection that has the rows of ``reached``.

        It was dropped, created again and written to then: a server gives it another id. Milvus Lite gives
        none, but of the rows that were inserted last it has none. Raises StoreError.
        """
        if not reached.inserted:
            return
        same_id = self.id == reached.collection_id or not (self.id and reached.collection_id)
        if same_id and (not reached.last_keys or has_any(client, self.table, reached.last_keys)):
            return
        value = f"id {reached.collection_id}, now {self.id}"
        if same_id:
            value = f"no row with {self.table.primary.name} {', '.join(map(str, reached.last_keys))}"
        raise JournalMismatch(
            f"{self.table.name} is not the collection that the interrupted ingest wrote to: it was dropped "
            "and created again, or its rows were deleted",
            value=value[:500],
            next_step="Start from the first row with --restart.",
        )

    def last_keys(
        self, before: Sequence[int | str], batch: RowBatch, first_key: int | None
    ) -> tuple[int | str, ...]:
        """The keys of the rows that ended the last few batches: ``before``, then ``batch``.

        ``first_key`` is the first key that nestvec makes. Empty if a server makes them.
        """
        key = self.table.primary
        if not batch.rows or (key.auto_id and first_key is None):
            return tuple(before)
        value = batch.rows[-1].get(key.name)
        if key.auto_id:
            number = (first_key or 0) + batch.start + batch.positions[-1]
            value = str(number) if key.type == "VARCHAR" else number
        return (*before, value)[-_SAMPLED_KEYS:] if isinstance(value, (int, str)) else tuple(before)


def has_any(client: MilvusClient, table: Table, keys: Sequence[int | str]) -> bool:
    """Whether a collection has a row of one of these keys; loads it if necessary. Raises StoreError."""
    return bool(_rows_of(client, table, keys))


def stored_keys(client: MilvusClient, table: Table, keys: Sequence[int | str]) -> list[int | str]:
    """Those of these keys that a collection has; loads it if necessary. Raises StoreError."""
    return [row[table.primary.name] for row in _rows_of(client, table, keys)]


def _rows_of(client: MilvusClient, table: Table, keys: Sequence[int | str]) -> list[dict[str, Any]]:
    with milvus_errors(f"looking for rows of {table.name}"):
        if not is_loaded(client, table.name):
            client.load_collection(table.name)
        rows: list[dict[str, Any]] = client.query(
            table.name,
            filter=key_filter(table.primary, keys),
            output_fields=[table.primary.name],
            consistency_level="Strong",
        )
    return rows


def _literal(key: object) -> str:
    return str(key) if isinstance(key, int) else f'"{str(key).translate(ESCAPES)}"'
