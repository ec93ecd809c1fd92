"""Rows and their vectors as Parquet files that Milvus's bulk import reads, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from nestvec.milvus.catalog import DYNAMIC_COLUMN, Column, Table, TypeParams
from nestvec_schemas.errors import IngestError
from nestvec_schemas.vectors import Vectors

_SCALARS: Final[dict[str, Any]] = {
    "BOOL": pa.bool_(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "TEXT": pa.string(),
    "JSON": pa.string(),
    "GEOMETRY": pa.string(),
    "TIMESTAMPTZ": pa.string(),
    "SPARSE_FLOAT_VECTOR": pa.string(),
}
"""Arrow's types of Milvus's, as pymilvus's BulkWriter writes them: JSON and sparse vectors are text."""

_VECTORS: Final[dict[str, Any]] = {
    "FLOAT_VECTOR": pa.float32(),
    "BINARY_VECTOR": pa.uint8(),
    "FLOAT16_VECTOR": pa.uint8(),
    "BFLOAT16_VECTOR": pa.uint8(),
    "INT8_VECTOR": pa.int8(),
}
"""The types of the numbers of vectors; those of half precision are bytes."""


@dataclass(frozen=True)
class FileColumns:
    """The columns of the files of a collection."""

    table: Table
    columns: tuple[Column, ...]
    """Without generated keys and what BM25 fills."""

    @classmethod
    def of(cls, table: Table) -> FileColumns:
        """The columns of a collection's files. Raises IngestError for a type that cannot be written."""
        lexical = {column.column for column in table.lexical}
        columns = [column for column in table.columns if not column.auto_id and column.name not in lexical]
        columns += [Column(name, "FLOAT_VECTOR", TypeParams(dim=len(v))) for name, v in table.hidden.items()]
        flags = (column.type_params.null_flag for column in table.columns)
        columns += [Column(flag, "BOOL", nullable=True) for flag in flags if flag]
        if table.dynamic:
            columns.append(DYNAMIC_COLUMN)
        for column in columns:
            if column.type not in {*_SCALARS, *_VECTORS, "ARRAY"}:
                raise IngestError(
                    f"column {column.name} is of a type that bulk files cannot hold",
                    value=column.type,
                    next_step="Use nestvec ingest for this collection.",
                )
        return cls(table, tuple(columns))

    @property
    def schema(self) -> Any:
        """Arrow's schema of a file."""
        return pa.schema([pa.field(column.name, _arrow_type(column)) for column in self.columns])

    @property
    def repetitive(self) -> list[str]:
        """The columns whose values may repeat: a dictionary of a vector's numbers, or of the texts that are
        embedded, takes time for nothing."""
        texts = {column.source for column in self.table.embeddings}
        return [
            column.name for column in self.columns if column.type in _SCALARS and column.name not in texts
        ]

    @property
    def compression(self) -> dict[str, str]:
        """The codecs of columns, by their paths in a file: vectors have none, which would save nothing."""
        return {
            f"{column.name}.list.element" if column.type == "ARRAY" else column.name: "snappy"
            for column in self.columns
            if column.type not in _VECTORS
        }

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's vectors."""
        sizes = {
            "FLOAT_VECTOR": 4.0,
            "INT8_VECTOR": 1.0,
            "FLOAT16_VECTOR": 2.0,
            "BFLOAT16_VECTOR": 2.0,
            "BINARY_VECTOR": 0.125,
        }
        return int(sum((column.dim or 0) * sizes.get(column.type, 0.0) for column in self.columns))

    def batch(self, rows: Sequence[Mapping[str, object]], vectors: Mapping[str, Any]) -> Any:
        """A record batch of converted rows and the vectors by column, as ``EmbeddedTexts`` has them."""
        names = self.table.field_names
        arrays = []
        for column in self.columns:
            if column.name in vectors:
                arrays.append(_vector_array(column, vectors[column.name]))
            elif column is DYNAMIC_COLUMN:
                extras = [{name: row[name] for name in row if name not in names} for row in rows]
                arrays.append(pa.array([_json(extra) for extra in extras], pa.string()))
            else:
                arrays.append(_value_array(column, [row.get(column.name) for row in rows]))
        return pa.record_batch(arrays, schema=self.schema)


def _arrow_type(column: Column) -> Any:
    if column.type in _VECTORS:
        return pa.list_(_VECTORS[column.type])
    if column.type == "ARRAY":
        return pa.list_(_SCALARS[column.type_params.element_type or "VARCHAR"])
    return _SCALARS[column.type]


def _vector_array(column: Column, values: Any) -> Any:
    if column.type == "SPARSE_FLOAT_VECTOR":
        return pa.array([_sparse_text(weights) for weights in values], pa.string())
    width = values.shape[1]
    offsets = np.arange(0, values.size + 1, width, dtype=np.int32)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), _VECTORS[column.type])
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def _sparse_text(weights: Mapping[int, float]) -> str:
    return json.dumps({str(index): weights[index] for index in sorted(weights)})


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def _value_array(column: Column, values: list[Any]) -> Any:
    if column.type == "JSON":
        values = [None if value is None else _json(value) for value in values]
    elif column.type == "SPARSE_FLOAT_VECTOR":
        values = [None if value is None else _sparse_text(value) for value in values]
    elif column.type == "FLOAT16_VECTOR":
        values = [None if value is None else _half_bytes(value) for value in values]
    elif column.type in ("BINARY_VECTOR", "BFLOAT16_VECTOR"):
        values = [None if value is None else list(value) for value in values]
    return pa.array(values, _arrow_type(column))


def _half_bytes(value: Any) -> list[int]:
    data = value if isinstance(value, bytes) else np.asarray(value, np.float16).tobytes()
    return list(data)


class _HashedFile:
    """A file that is hashed as it is written: Arrow's and Python's sides of it are closed apart."""

    closed = False

    def __init__(self, path: Path) -> None:
        self._file, self.digest, self.size = path.open("wb"), hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        """Write bytes. Raises OSError."""
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Closing it does."""

    def close(self) -> None:
        """Raises OSError."""
        self._file.close()


class FileWriter:
    """Writes a file of rows and their vectors."""

    def __init__(self, path: Path, columns: FileColumns) -> None:
        """Raises OSError."""
        self._columns, self._file, self.rows = columns, _HashedFile(path), 0
        repetitive = columns.repetitive
        self._writer = pq.ParquetWriter(
            self._file,
            columns.schema,
            use_dictionary=repetitive,
            compression=columns.compression,
            write_statistics=repetitive,
        )

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._file.size

    def add(self, rows: Sequence[Mapping[str, object]], vectors: Mapping[str, Any]) -> None:
        """Add converted rows, and the vectors by column as ``EmbeddedTexts`` has them. Raises OSError."""
        self._writer.write_batch(self._columns.batch(rows, vectors))
        self.rows += len(rows)

    def close(self) -> str:
        """Write the file's end; the SHA-256 of its bytes. Raises OSError."""
        try:
            self._writer.close()
        finally:
            self._file.close()
        return self._file.digest.hexdigest()


@dataclass(frozen=True)
class StoredBatch:
    """Rows of a file, read back."""

    rows: list[dict[str, Any]]
    """As Milvus takes them, without the columns of ``vectors``."""

    vectors: dict[str, Vectors]
    """(n, dim) float32 of columns that Functions fill."""


def read_batches(path: Path, columns: FileColumns, apart: frozenset[str], rows: int) -> Iterator[StoredBatch]:
    """The rows of a file in batches; the dense vectors of the columns ``apart`` are read by themselves."""
    types = {column.name: column.type for column in columns.columns}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows):
            vectors = {
                name: batch.column(name).flatten().to_numpy().reshape(batch.num_rows, -1)
                for name in batch.schema.names
                if name in apart and types[name] == "FLOAT_VECTOR"
            }
            others = [name for name in batch.schema.names if name not in apart]
            values = batch.select(others).to_pylist()
            yield StoredBatch([_stored_row(row, types) for row in values], vectors)


def _stored_row(row: dict[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        if name == DYNAMIC_COLUMN.name:
            stored |= orjson.loads(value)
        elif types[name] == "JSON":
            stored[name] = orjson.loads(value)
        elif types[name] == "SPARSE_FLOAT_VECTOR":
            stored[name] = {int(index): weight for index, weight in json.loads(value).items()}
        elif types[name] in ("BINARY_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR"):
            stored[name] = bytes(value)
        elif types[name] == "INT8_VECTOR":
            stored[name] = np.asarray(value, np.int8)
        else:
            stored[name] = value
    return stored
