"""``nestvec.ray.Embed`` on every kind of batch, also without rows."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pytest

import nestvec.ray
from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import IngestError, RowRejected

DIM = 16
NAMES = ["vector_8", "vector_16", "vector_8_binary", "vector_16_binary"]


@pytest.fixture
def embed(write_encoder: Callable[..., Path]) -> Iterator[nestvec.ray.Embed]:
    models = write_encoder().parent
    embedder = Embedder(open_encoders(models), FakeEngine({"tiny": DIM}), ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        embed = nestvec.ray.Embed("tiny", dims=[8, 16], forms=["float", "binary"], service=address)
        yield pickle.loads(pickle.dumps(embed))


@pytest.mark.parametrize("texts", [["w1", "w2", "w1"], []])
def test_every_kind_of_batch_gets_the_same_columns(embed: nestvec.ray.Embed, texts: list[str]) -> None:
    expected = embed.vectors(texts)
    assert [values.shape for values in expected.values()] == [(len(texts), width) for width in (8, 16, 1, 2)]
    table = pa.table({"text": pa.array(texts, pa.string())})
    frame = pandas.DataFrame({"text": pandas.Series(texts, dtype="str", index=range(5, 5 + len(texts)))})
    record_batch = pa.RecordBatch.from_arrays([table.column("text").combine_chunks()], ["text"])
    batches: list[Any] = [table, record_batch, frame, {"text": np.array(texts, object)}]
    for batch in batches:
        embedded = embed(batch)
        assert list(getattr(embedded, "column_names", embedded)) == ["text", *NAMES]
        for name in NAMES:
            column = embedded[name]
            values = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
            np.testing.assert_array_equal(np.asarray(values).reshape(expected[name].shape), expected[name])


def test_a_record_batch_has_the_types_of_spark(embed: nestvec.ray.Embed) -> None:
    embedded = embed(pa.RecordBatch.from_pydict({"text": ["w1"]}))
    assert embedded.schema.field("vector_8").type == pa.list_(pa.float32())
    assert embedded.schema.field("vector_8_binary").type == pa.list_(pa.int16())


def test_a_series_becomes_its_vectors(embed: nestvec.ray.Embed) -> None:
    embedded = embed(pandas.Series(["w1", "w2"], name="papers"))
    assert list(embedded.columns) == NAMES
    np.testing.assert_array_equal(embedded["vector_8"].tolist(), embed.vectors(["w1", "w2"])["vector_8"])


@pytest.mark.parametrize(
    ("text", "what"),
    [(None, "null"), (float("nan"), "null"), (pandas.NA, "null"), ("", "an empty text"), (3, "int")],
)
def test_what_is_no_text_is_named(embed: nestvec.ray.Embed, text: object, what: str) -> None:
    with pytest.raises(RowRejected, match=f"row 1 of the batch has no text in column text: {what}"):
        embed(pandas.DataFrame({"text": ["w1", text]}))


def test_the_import_needs_no_ray() -> None:
    code = "import sys; sys.modules['ray'] = None; import nestvec.ray; nestvec.ray.Embed('tiny')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_batches_of_pandas_without_rows_have_columns_of_vectors(embed: nestvec.ray.Embed) -> None:
    embedded = embed(pandas.DataFrame({"text": []}))
    assert {str(embedded[name].dtype) for name in NAMES} == {"object"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forms": "int8"}, r"forms is not a list.*int8.*\['float', 'int8'\]"),
        ({"forms": ["half"]}, "no form of this name: half. Available: float, int8, binary, sparse"),
        ({"dims": 64}, r"dims is not a list of whole numbers: 64. Write .*\[64, 384\]"),
        ({"dims": "64"}, "dims is not a list"),
        ({"dims": ["64"]}, "dims is not a list"),
        ({"engine": "onyx"}, "no engine of this name: onyx.*Did you mean 'onnx'"),
        ({"threads": -1}, "threads is less than 0: -1"),
    ],
)
def test_options_without_a_meaning_are_refused_at_once(options: Any, message: str) -> None:
    with pytest.raises(IngestError, match=message):
        nestvec.ray.Embed("tiny", **options)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"title": ["w1"]}, "no column of the texts: text.*Columns: title"),
        ({"text": ["w1"], "vector_8": [1]}, "column of the name of the vectors: vector_8.*drop it"),
    ],
)
def test_columns_that_are_missing_or_there_already_are_named(
    embed: nestvec.ray.Embed, columns: dict[str, list[Any]], message: str
) -> None:
    table = pa.table(columns)
    arrays = {name: np.array(values) for name, values in columns.items()}
    for batch in (table, table.to_batches()[0], pandas.DataFrame(columns), arrays):
        with pytest.raises(IngestError, match=message):
            embed(batch)


def test_what_is_no_batch_is_refused(embed: nestvec.ray.Embed) -> None:
    with pytest.raises(IngestError, match="no batch of rows: list"):
        embed([{"text": "w1"}])
