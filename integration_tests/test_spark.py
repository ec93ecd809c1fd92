"""``nestvec.ray.Embed`` in Spark, whose workers are processes of their own: ``make nightly`` installs it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import nestvec.ray
from nestvec.bulk.embedding import EngineEmbedding, VectorOutput
from nestvec.engines.factory import EngineOptions
from nestvec.service.in_process import serve_in_process
from nestvec_schemas.embedding_config import EmbeddingConfig

sql = pytest.importorskip("pyspark.sql", reason="the extra spark; make nightly runs it")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java 17", allow_module_level=True)

ROWS = 40
SCHEMA = "id long, year int, text string"
VECTORS = "vector_64 array<float>, vector_384 array<float>"


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    # Its workers run this Python, and load what this process has.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = sql.SparkSession.builder.master("local[2]")
    for name, value in (
        ("spark.ui.enabled", "false"),
        ("spark.driver.host", "127.0.0.1"),
        ("spark.driver.bindAddress", "127.0.0.1"),
        ("spark.driver.memory", "1g"),
        ("spark.task.maxFailures", "1"),
    ):
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def embed(models: Path) -> nestvec.ray.Embed:
    return nestvec.ray.Embed("minilm", dims=[64, 384], models=models, engine="onnx", threads=1)


@pytest.fixture(scope="module")
def expected(models: Path) -> Any:
    """(ROWS, 384) vectors of the texts, by an engine of this process."""
    engine = EngineEmbedding(models, ("minilm",), EngineOptions("onnx"))
    texts = [text for _, _, text in rows()]
    return engine.embed(texts, [VectorOutput("v", EmbeddingConfig("minilm", 384))]).columns["v"]


def rows() -> list[tuple[int, int | None, str]]:
    """Keys beyond what a float holds exactly, and years of which some are null."""
    return [((1 << 60) + number, None if number % 3 else 2000, f"text {number}") for number in range(ROWS)]


def check(collected: list[Any], expected: Any) -> None:
    """Compare the rows that Spark returns with the source, and their vectors with the engine's."""
    collected = sorted(collected, key=lambda row: int(row["id"]))
    assert [(row["id"], row["year"], row["text"]) for row in collected] == rows()
    whole = np.asarray([row["vector_384"] for row in collected], np.float32)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    short = expected[:, :64] / np.linalg.norm(expected[:, :64], axis=1, keepdims=True)
    np.testing.assert_allclose([row["vector_64"] for row in collected], short, atol=1e-5)


@pytest.mark.parametrize(("batch_rows", "partitions"), [(3, 2), (10_000, ROWS + 10)])
@pytest.mark.parametrize("kind", ["mapInArrow", "mapInPandas"])
def test_every_row_gets_its_vectors(
    spark: Any, embed: nestvec.ray.Embed, expected: Any, kind: str, batch_rows: int, partitions: int
) -> None:
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", batch_rows)
    frame = spark.createDataFrame(rows(), SCHEMA).repartition(partitions, "id")
    # With more partitions than rows, some are empty.
    assert frame.rdd.getNumPartitions() == partitions
    mapped = getattr(frame, kind)(lambda batches: map(embed, batches), f"{SCHEMA}, {VECTORS}")
    check(mapped.collect(), expected)


def test_a_function_of_a_column(spark: Any, embed: nestvec.ray.Embed, expected: Any) -> None:
    from pyspark.sql.functions import pandas_udf

    @pandas_udf(VECTORS)
    def vectors(texts: pandas.Series) -> pandas.DataFrame:
        return embed(texts)

    frame = spark.createDataFrame(rows(), SCHEMA)
    check(
        frame.select("*", vectors("text").alias("v")).select("id", "year", "text", "v.*").collect(), expected
    )


@pytest.mark.parametrize("kind", ["mapInArrow", "mapInPandas"])
def test_forms_and_a_service(spark: Any, models: Path, expected: Any, kind: str) -> None:
    from integration_tests.fixtures.services import vacant_address

    service = vacant_address()
    frame = spark.createDataFrame(rows(), SCHEMA).repartition(4)
    added = "vector_384 array<float>, vector_384_int8 array<tinyint>, vector_384_binary array<smallint>"
    embed = nestvec.ray.Embed("minilm", dims=[384], forms=["float", "int8", "binary"], service=service)
    with serve_in_process((service,), models):
        found = getattr(frame, kind)(lambda batches: map(embed, batches), f"{SCHEMA}, {added}").collect()
    found.sort(key=lambda row: int(row["id"]))
    np.testing.assert_allclose([row["vector_384"] for row in found], expected, atol=1e-2)
    bits = np.asarray([row["vector_384_binary"] for row in found], np.uint8)
    signs = np.unpackbits(bits, axis=1).astype(bool)
    assert (signs == (expected > 0)).mean() > 0.99
    assert np.asarray([row["vector_384_int8"] for row in found]).shape == (ROWS, 384)


def test_a_worker_loads_the_engine_once_and_no_ray(spark: Any, embed: nestvec.ray.Embed) -> None:
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 5)
    loads: dict[int, set[int]] = {}
    for _ in range(3):
        frame = spark.createDataFrame(rows(), SCHEMA).repartition(4)
        mapped = frame.mapInPandas(counting(embed), "process long, loads int, batches int, ray boolean")
        for row in mapped.collect():
            assert not row["ray"]
            loads.setdefault(row["process"], set()).add(row["loads"])
    assert os.getpid() not in loads
    # Of three jobs of four tasks each.
    assert len(loads) <= 4
    assert set().union(*loads.values()) == {1}


def counting(embed: nestvec.ray.Embed) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Embeds batches, and says how often the worker's process has loaded an engine."""

    def count(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            embed(batch)
            from nestvec.bulk.embed_batches import _open

            cache = _open.cache_info()
            yield pandas.DataFrame(
                {
                    "process": [os.getpid()],
                    "loads": [cache.misses],
                    "batches": [cache.hits + cache.misses],
                    "ray": ["ray" in sys.modules],
                }
            )

    return count


@pytest.mark.parametrize(("text", "what"), [(None, "null"), ("", "an empty text")])
def test_a_text_that_is_null_or_empty_is_an_error_that_says_so(
    spark: Any, embed: nestvec.ray.Embed, text: str | None, what: str
) -> None:
    frame = spark.createDataFrame([*rows(), (0, None, text)], SCHEMA)
    mapped = frame.mapInPandas(lambda batches: map(embed, batches), f"{SCHEMA}, {VECTORS}")
    with pytest.raises(Exception, match=rf"no text in column text: {what}\. Filter such rows out"):
        mapped.collect()
    filtered = frame.where("text <> ''").mapInPandas(
        lambda batches: map(embed, batches), f"{SCHEMA}, {VECTORS}"
    )
    assert filtered.count() == ROWS


def test_an_encoder_that_a_worker_lacks_is_an_error_that_says_so(spark: Any, tmp_path: Path) -> None:
    embed = nestvec.ray.Embed("minilm", dims=[64], models=tmp_path / "nowhere")
    frame = spark.createDataFrame(rows(), SCHEMA)
    mapped = frame.mapInPandas(lambda batches: map(embed, batches), f"{SCHEMA}, vector_64 array<float>")
    with pytest.raises(Exception, match=r"EncoderNotFound: there is no encoder.*nowhere"):
        mapped.collect()
