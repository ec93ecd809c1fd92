"""The files against those of pymilvus's own writer, and what is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from plugin.tests.bulk.conftest import FakeEmbedding, make_table, row
from pymilvus import CollectionSchema, DataType, FieldSchema

from nestvec.bulk.parquet import FileColumns, read_batches
from nestvec.bulk.task import vector_output
from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.catalog.column_properties import HIDDEN_VECTOR
from nestvec_schemas.errors import IngestError


def write(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write rows as a task does; returns their vectors."""
    table = make_table()
    texts = [str(each["text"]) for each in rows]
    vectors = FakeEmbedding().embed(texts, [vector_output(each) for each in table.embeddings]).columns
    columns = FileColumns.of(table)
    with pq.ParquetWriter(path, columns.schema) as writer:
        writer.write_batch(columns.batch(rows, vectors))
    return vectors


def milvus_schema() -> CollectionSchema:
    fields = []
    for column in make_table().columns:
        params = column.type_params
        options: dict[str, Any] = {
            "max_length": params.max_length,
            "dim": params.dim,
            "max_capacity": params.max_capacity,
            "element_type": DataType[params.element_type] if params.element_type else None,
        }
        kept = {name: value for name, value in options.items() if value is not None}
        fields.append(
            FieldSchema(
                column.name,
                DataType[column.type],
                is_primary=column.primary,
                nullable=column.nullable,
                **kept,
            )
        )
    return CollectionSchema(fields, enable_dynamic_field=True)


def test_files_are_as_those_of_pymilvus(tmp_path: Path) -> None:
    pytest.importorskip("minio")
    from pymilvus.bulk_writer import BulkFileType, LocalBulkWriter

    rows = [row(number) for number in range(20)]
    vectors = write(tmp_path / "ours.parquet", rows)
    with LocalBulkWriter(milvus_schema(), str(tmp_path / "theirs"), file_type=BulkFileType.PARQUET) as writer:
        for at, each in enumerate(rows):
            embedded = {
                name: values[at].tolist() if isinstance(values, np.ndarray) else values[at]
                for name, values in vectors.items()
            }
            embedded["text_bits"] = bytes(vectors["text_bits"][at])
            writer.append_row({**each, **embedded})
        writer.commit()
        ((theirs,),) = writer.batch_files
    ours, expected = pq.read_table(tmp_path / "ours.parquet"), pq.read_table(theirs)
    assert {field.name: field.type for field in ours.schema} == {
        field.name: field.type for field in expected.schema
    }
    for name in expected.schema.names:
        left, right = ours.column(name).to_pylist(), expected.column(name).to_pylist()
        if name in ("about", "$meta", "text_words"):
            left, right = [json.loads(text) for text in left], [json.loads(text) for text in right]
        assert left == right, name


def test_rows_are_read_back_as_milvus_takes_them(tmp_path: Path) -> None:
    rows = [row(number) for number in range(7)]
    rows[2] = {"id": 2, "text": "text 2"}
    vectors = write(tmp_path / "a.parquet", rows)
    columns = FileColumns.of(make_table())
    batches = list(read_batches(tmp_path / "a.parquet", columns, frozenset({"text_8", "text_16"}), 4))
    stored = [each for batch in batches for each in batch.rows]
    own = {"text_int8", "text_bits", "text_words"}
    assert [{name: each[name] for name in each if name not in own} for each in stored] == rows
    assert stored[3]["text_bits"] == bytes(vectors["text_bits"][3])
    assert stored[3]["text_words"] == vectors["text_words"][3]
    np.testing.assert_array_equal(stored[3]["text_int8"], vectors["text_int8"][3])
    read = np.concatenate([batch.vectors["text_16"] for batch in batches])
    np.testing.assert_array_equal(read, vectors["text_16"])


def test_a_type_that_no_file_has_is_refused() -> None:
    table = Table("t", (Column("id", "INT64", primary=True), Column("odd", "STRUCT")))
    with pytest.raises(IngestError, match="cannot hold"):
        FileColumns.of(table)


def test_the_field_of_a_table_without_vectors_is_a_column() -> None:
    table = Table("t", (Column("id", "INT64", primary=True),), dynamic=True, indexes={HIDDEN_VECTOR: "FLAT"})
    written = FileColumns.of(table).batch([{"id": 1, "more": 2, **table.hidden}], {})
    assert written.to_pylist() == [{"id": 1, HIDDEN_VECTOR: [1.0, 0.0], "$meta": '{"more":2}'}]
