"""The rows of a collection, all of their values, and what says that one has changed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson
from pymilvus import MilvusClient

from nestvec.ingest.write.faults import classify
from nestvec.ingest.write.patience import Patience, wait_for_milvus
from nestvec.ingest.write.stored_keys import ESCAPES, key_filter
from nestvec.milvus.catalog import DYNAMIC_COLUMN, Column, Table
from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.errors import NestvecError, StoreRefused, StoreUnreachable

Row = dict[str, Any]

_MAX_PAGE_ROWS: Final = 1_000
_PAGE_BYTES: Final = 8 << 20
ALL_ROWS: Final = 2**31 - 1
"""The largest limit of a query of Milvus Lite."""

_STRONG: Final = {"consistency_level": "Strong"}

_DIGEST_BYTES: Final = 16

_RELEASED: Final = "call load() before"
"""What Milvus Lite says of a collection that must be loaded first, or is being loaded."""


@dataclass(frozen=True)
class Page:
    """Some rows of one partition."""

    partition: str
    """Empty where Milvus chooses it."""

    rows: tuple[Row, ...]


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of a collection as they are at that moment."""

    client: MilvusClient
    collection: str
    table: Table
    fields: tuple[str, ...]
    """The fields to read, without dynamic ones, which are read too."""

    lite: bool
    patience: Patience
    new_fields: frozenset[str] = frozenset()
    """Fields that the rows are to get: no dynamic field of these names is read as NULL."""

    @property
    def key(self) -> Column:
        """The primary key."""
        return self.table.primary

    def partitions(self) -> tuple[str, ...]:
        """The partitions that rows name; one of an empty name if Milvus chooses them."""
        if any(column.partition_key for column in self.table.columns):
            return ("",)
        doing = f"listing the partitions of {self.collection}"

        def read() -> Sequence[str]:
            with milvus_errors(doing):
                return list(self.client.list_partitions(self.collection))

        return tuple(wait_for_milvus(self.patience, read, resumes=True))

    def count(self) -> int:
        """The number of rows."""

        def read() -> int:
            with milvus_errors(f"counting the rows of {self.collection}"):
                answer = self.client.query(self.collection, filter="", output_fields=["count(*)"], **_STRONG)
            return int(answer[0]["count(*)"])

        return wait_for_milvus(self.patience, read, resumes=True)

    def pages(self, partitions: Sequence[str]) -> Iterator[Page]:
        """All rows; some of them twice if the connection is lost meanwhile. Raises StoreError."""
        for partition in partitions:
            while True:
                try:
                    yield from self._pages(partition)
                    break
                except StoreUnreachable as error:
                    self.patience.wait(classify(error), error)

    def rows(self, keys: Sequence[object], partition: str = "") -> dict[object, Row]:
        """The rows of these keys that exist, by key. Raises StoreError."""
        if not keys:
            return {}
        return wait_for_milvus(
            self.patience, partial(self._rows, keys=keys, partition=partition), resumes=True
        )

    def in_several_partitions(self, keys: Sequence[object]) -> list[object]:
        """Those keys that rows of several partitions have. Raises StoreError."""
        partitions = self.partitions() if keys else ()
        places = Counter(key for partition in partitions for key in self.rows(keys, partition))
        return [key for key in keys if places[key] > 1]

    def _rows(self, keys: Sequence[object], partition: str) -> dict[object, Row]:
        with milvus_errors(f"reading {len(keys)} rows of {self.collection}"):
            rows = self.client.query(
                self.collection,
                filter=key_filter(self.key, keys),
                output_fields=self._output_fields(),
                **_in_partition(partition),
                **_STRONG,
            )
        return {row[self.key.name]: self._plain(row) for row in rows}

    def _pages(self, partition: str) -> Iterator[Page]:
        size = self.page_rows
        if self.lite:
            # Milvus Lite evaluates the filter of each page of an iterator on every row.
            keys = self.all_keys(partition)
            for start in range(0, len(keys), size):
                yield Page(partition, tuple(self.rows(keys[start : start + size], partition).values()))
            return
        with milvus_errors(f"reading {self.collection}"):
            pages = self.client.query_iterator(
                self.collection,
                batch_size=size,
                output_fields=self._output_fields(),
                **_in_partition(partition),
                **_STRONG,
            )
            try:
                while page := pages.next():
                    check_key(page[-1][self.key.name])
                    yield Page(partition, tuple(map(self._plain, page)))
            finally:
                pages.close()

    def all_keys(self, partition: str = "") -> list[object]:
        """All keys, sorted, of a collection of Milvus Lite. Raises StoreError."""

        def read() -> list[object]:
            with milvus_errors(f"reading the keys of {self.collection}"):
                rows = self.client.query(
                    self.collection,
                    filter="",
                    limit=ALL_ROWS,
                    output_fields=[self.key.name],
                    **_in_partition(partition),
                    **_STRONG,
                )
            return sorted(row[self.key.name] for row in rows)

        return wait_for_milvus(self.patience, read, resumes=True)

    @property
    def page_rows(self) -> int:
        """Rows of a page: as many as a response has room for."""
        dims = sum(column.dim or 0 for column in self.table.columns if column.name in self.fields)
        return max(1, min(_MAX_PAGE_ROWS, _PAGE_BYTES // max(1, 4 * dims)))

    def digest(self, row: Row, partition: str) -> bytes:
        """What says whether a row has changed: a hash of all its values and its partition.

        In Milvus Lite a dynamic field that is NULL counts as none: a row that replaces another there keeps
        the dynamic fields of that one, and can only have NULLs in their place.
        """
        if self.lite:
            row = {name: value for name, value in row.items() if value is not None or name in self.fields}
        return _digest(row, partition)

    def digests(self, row: Row, partition: str) -> tuple[bytes, ...]:
        """The digests that a journal may have of a row: that of now, and the one that nestvec recorded when
        dynamic fields that are NULL counted in Milvus Lite, too."""
        digest = self.digest(row, partition)
        counts = self.lite and any(row[name] is None for name in row.keys() - set(self.fields))
        return (digest, _digest(row, partition)) if counts else (digest,)

    def _output_fields(self) -> list[str]:
        return [*self.fields, *((DYNAMIC_COLUMN.name,) if self.table.dynamic else ())]

    def _plain(self, row: Mapping[str, Any]) -> Row:
        """A row as Milvus takes it; dynamic fields that are NULL are part of it."""
        plain = {name: _plain_value(row.get(name)) for name in self.fields}
        for column in self.table.columns:
            if column.type == "JSON" and isinstance(plain.get(column.name), str):
                # pymilvus returns the value of a JSON string, and takes a string for JSON text.
                plain[column.name] = orjson.dumps(plain[column.name]).decode()
        if self.table.dynamic:
            columns = self.table.field_names | {DYNAMIC_COLUMN.name}
            plain |= {
                name: value
                for name, value in row.items()
                # Milvus Lite gives a NULL for a name that any row of before had.
                if name not in columns and not (value is None and name in self.new_fields)
            }
        return plain


def may_pass(error: NestvecError, *, lite: bool) -> bool:
    """Whether Milvus was lost, or a Milvus Lite started again, which forgets what was loaded."""
    if lite and _RELEASED in str(error.value):
        return True
    fault = classify(error)
    return (fault.kind, fault.party) == ("transient", "Milvus")


def _digest(row: Row, partition: str) -> bytes:
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    encoded = orjson.dumps([partition, row], default=_encode, option=options)
    return hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).digest()


def _encode(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def _plain_value(value: Any) -> Any:
    if isinstance(value, (str, bytes, int, float, dict)) or value is None:
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], bytes):
        return value[0]  # pymilvus returns vectors of bytes so, and does not take them so
    return list(value) if hasattr(value, "__iter__") and not hasattr(value, "dtype") else value


def _in_partition(partition: str) -> dict[str, Any]:
    return {"partition_names": [partition]} if partition else {}


def check_key(key: object) -> None:
    """Raise StoreRefused for a key that pymilvus's iterator puts unescaped into its filter."""
    if isinstance(key, str) and key != key.translate(ESCAPES):
        raise StoreRefused(
            "pymilvus cannot read page by page a collection whose keys have quotes, backslashes or line "
            "breaks",
            value=key[:100],
            next_step="Copy the rows with keys without them.",
        )
