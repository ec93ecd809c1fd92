"""``nestvec bulk`` on real Ray, with the real encoder: every row once, whatever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from integration_tests.fixtures.services import vacant_address
from safetensors.numpy import load_file, save_file

import nestvec.ray
from nestvec.bulk.embedding import EngineEmbedding, ServiceEmbedding, VectorOutput
from nestvec.bulk.manifest import JobPlan, TaskRecord
from nestvec.bulk.on_ray import patient_start
from nestvec.bulk.options import BulkOptions
from nestvec.bulk.run import BulkJob
from nestvec.bulk.task import EngineChoice
from nestvec.collections import lifecycle
from nestvec.engines.factory import EngineOptions
from nestvec.ingest.options import IngestOptions
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec.service.in_process import serve_in_process
from nestvec_exporters import ExportOptions, export
from nestvec_schemas.binary_codes import sign_bits
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import RowRejected
from nestvec_schemas.spec.yaml_file import parse_spec
from nestvec_schemas.vectors import cosines, nest, to_int8

SPEC = """
collection: docs
service: {service}
fields:
  id:    {{type: INT64, primary: true, auto_id: {auto_id}}}
  text:  {{type: VARCHAR, max_length: 200}}
  n:     {{type: INT32}}
embeddings:
  - {{field: text, encoder: minilm, dims: [64, 384]}}
"""
SECONDS = 300
TEXTS = [
    "heat",
    "Reynolds number",
    "a cat sits on a mat",
    "a cat sits on a mat",
    "Übergröße",
    "long " * 400,
]


@contextmanager
def _progress(title: str, rows: int) -> Iterator[Callable[[int], None]]:
    yield lambda count: None


class Place:
    """A database with the collection ``docs``, and files of rows."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder, self.models = folder, models
        self.uri, self.service = str(folder / "a.db"), vacant_address()

    def create(self, *, auto_id: bool = False) -> None:
        spec = parse_spec(SPEC.format(service=self.service, auto_id=str(auto_id).lower()), path="spec")
        with open_milvus(self.uri) as client, serve_in_process(spec.services, self.models):
            lifecycle.create_collection(client, spec)

    def write(self, rows: int, *, auto_id: bool = False) -> Path:
        path = self.folder / "rows.jsonl"
        with path.open("w") as file:
            for n in range(rows):
                key = {} if auto_id else {"id": n}
                file.write(json.dumps({**key, "text": f"text number {n}", "n": n}) + "\n")
        return path

    @property
    def job(self) -> Path:
        return self.folder / "rows.jsonl.docs.bulk"

    def command(self, *options: str) -> list[str]:
        where = ["--collection", "docs", "--uri", self.uri, "--models", str(self.models)]
        program = "from nestvec.cli import main; main()"
        source = str(self.folder / "rows.jsonl")
        return [sys.executable, "-c", program, "bulk", source, *where, "--json", *options]

    def bulk(self, *options: str) -> Any:
        # Another cluster, which a command without --ray does not use.
        environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1"}
        done = subprocess.run(
            self.command(*options),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stored(self) -> list[dict[str, Any]]:
        with open_milvus(self.uri) as client:
            client.load_collection("docs")
            rows: list[dict[str, Any]] = client.query(
                "docs", filter="", output_fields=["id", "n", "text", "text_64", "text_384"], limit=16_384
            )
        return sorted(rows, key=lambda row: int(row["n"]))

    def files(self) -> Any:
        """The rows of all files that records name."""
        records = [
            TaskRecord.model_validate_json(path.read_bytes())
            for path in sorted((self.job / "tasks").iterdir())
        ]
        return pa.concat_tables(
            [pq.read_table(self.job / file.name) for record in records for file in record.files]
        )


@pytest.fixture
def place(tmp_path: Path, models: Path) -> Place:
    return Place(tmp_path, models)


@pytest.fixture(scope="module")
def engine(models: Path) -> EngineEmbedding:
    return EngineEmbedding(models, ("minilm",), EngineOptions("onnx"))


def outputs(*, has_role: bool = True) -> list[VectorOutput]:
    forms: list[tuple[str, Any]] = [("whole", "float"), ("int8", "int8"), ("bits", "binary")]
    chosen = [VectorOutput(name, EmbeddingConfig("minilm", 384, form=form), has_role) for name, form in forms]
    return [*chosen, VectorOutput("short", EmbeddingConfig("minilm", 64), has_role)]


def test_an_engine_in_a_worker_gives_what_the_service_gives(engine: EngineEmbedding, service: str) -> None:
    own = engine.embed(TEXTS, outputs())
    served = ServiceEmbedding(service).embed(TEXTS, outputs())
    for name in ("whole", "short"):
        assert cosines(own.columns[name], served.columns[name]).min() > 0.999
    whole = own.columns["whole"]
    np.testing.assert_allclose(own.columns["short"], nest(whole, 64), atol=1e-6)
    assert np.abs(own.columns["int8"].astype(int) - to_int8(whole)).max() <= 1
    np.testing.assert_array_equal(own.columns["bits"], sign_bits(whole))
    np.testing.assert_array_equal(whole[2], whole[3])
    # A pass of each distinct text, for all columns.
    assert own.tokens < 600


def test_embed_takes_and_returns_each_kind_of_batch(models: Path, engine: EngineEmbedding) -> None:
    import pandas

    embed = nestvec.ray.Embed("minilm", dims=[64, 384], forms=["float", "int8"], models=models, engine="onnx")
    expected = engine.embed(TEXTS, [VectorOutput("v", EmbeddingConfig("minilm", 64))]).columns["v"]
    table = embed(pa.table({"text": TEXTS}))
    assert table.column_names == ["text", "vector_64", "vector_384", "vector_64_int8", "vector_384_int8"]
    frame = embed(pandas.DataFrame({"text": TEXTS}))
    arrays = embed({"text": np.array(TEXTS)})
    for values in (table.column("vector_64").to_pylist(), frame["vector_64"].tolist(), arrays["vector_64"]):
        np.testing.assert_allclose(np.asarray(values), expected, atol=1e-6)
    with pytest.raises(RowRejected, match="row 1 of the batch has no text"):
        embed(pa.table({"text": ["a", None]}))


def test_rows_into_milvus_lite(place: Place, engine: EngineEmbedding) -> None:
    place.create()
    path = place.write(230)
    with path.open("a") as file:
        file.write('{"id": 900, "n": 1}\n')
    report = place.bulk("--task-rows", "60")
    assert (report["rows"], report["rejected"], report["imported"]) == (230, 1, 230)
    assert (report["tasks"], report["resumed"], report["finished"]) == (4, 0, True)
    rejected = json.loads((place.job / "rejected.jsonl").read_text())
    assert rejected["place"] == "rows.jsonl, line 231"
    rows = place.stored()
    assert [row["id"] for row in rows] == list(range(230))
    for dim in (64, 384):
        columns = [VectorOutput("v", EmbeddingConfig("minilm", dim), has_role=False)]
        expected = engine.embed([row["text"] for row in rows], columns).columns["v"]
        stored = np.asarray([row[f"text_{dim}"] for row in rows], np.float32)
        assert cosines(stored, expected).min() > 0.999
    again = place.bulk("--task-rows", "60")
    assert (again["resumed"], again["imported"], len(place.stored())) == (4, 0, 230)


@pytest.mark.nightly
def test_a_killed_command_continues(place: Place) -> None:
    place.create(auto_id=True)
    place.write(600, auto_id=True)
    options = ("--task-rows", "40")
    process = subprocess.Popen(
        place.command(*options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    records, imports = place.job / "tasks", place.job / "imports.json"
    deadline = time.monotonic() + SECONDS
    # Rows are inserted while later tasks are embedded.
    while not imports.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {path.name: path.read_bytes() for path in records.glob("task-*.json")}
    plan = JobPlan.model_validate_json((place.job / "plan.json").read_bytes())
    report = place.bulk(*options)
    assert report["resumed"] >= 1
    assert report["imported"] < 600
    assert plan == JobPlan.model_validate_json((place.job / "plan.json").read_bytes())
    assert {name: (records / name).read_bytes() for name in before} == before
    assert place.files().column("n").to_pylist() == list(range(600))
    assert [row["n"] for row in place.stored()] == list(range(600))
    # What was inserted once more replaces itself.
    imports.unlink()
    assert place.bulk(*options)["imported"] == 600
    assert [row["n"] for row in place.stored()] == list(range(600))


@pytest.mark.nightly
def test_a_killed_command_begun_again_with_a_shorter_source(place: Place) -> None:
    place.create()
    place.write(400)
    options = ("--task-rows", "40")
    process = subprocess.Popen(
        place.command(*options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    imports, deadline = place.job / "imports.json", time.monotonic() + SECONDS
    while not imports.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    place.write(10)
    report = place.bulk(*options, "--restart")
    stored = [row["id"] for row in place.stored()]
    # Every row that was inserted before has a key that is listed, or one of the source.
    listed = [json.loads(line)["id"] for line in (place.job / "stale_keys.jsonl").read_text().splitlines()]
    assert len(stored) >= 40
    assert sorted([*range(10), *listed]) == stored
    assert (report["imported"], report["stale"]) == (10, len(listed))


@pytest.mark.nightly
def test_a_node_that_is_lost_is_replaced(place: Place, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    for name in ("RAY_gcs_server_port_wait_time_s", "RAY_worker_register_timeout_seconds"):
        monkeypatch.setenv(name, str(SECONDS))
    place.create()
    source = place.write(2_000)
    sizes = {"object_store_memory": 80 << 20}
    with patient_start(ray):
        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **sizes}
        )
        nodes = [cluster.add_node(num_cpus=1, **sizes) for _ in range(3)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    workers: set[str] = set()
    try:
        with open_milvus(place.uri) as client:
            table = read_table(client, "docs")
            options = BulkOptions(
                source=str(source),
                folder=str(place.job),
                rows=IngestOptions(place.uri),
                engine=EngineChoice(place.models, service=service),
                task_rows=50,
                imports=False,
            )

            @contextmanager
            def progress(title: str, rows: int) -> Iterator[Callable[[int], None]]:
                done = 0

                def advance(count: int) -> None:
                    nonlocal done
                    done += count
                    if nodes and done >= 300:
                        cluster.remove_node(nodes.pop(), allow_graceful=False)
                        nodes.clear()

                yield advance

            report = BulkJob(client, table, options, progress).run()
            workers = set(report.workers)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert not nodes
    assert len(workers) >= 3
    assert (report.rows, report.tasks, report.finished) == (2_000, 40, True)
    rows = place.files()
    assert rows.column("n").to_pylist() == list(range(2_000))
    assert len(list((place.job / "files").iterdir())) == 40
    texts = rows.column("text").to_pylist()[::97]
    columns = [VectorOutput("v", EmbeddingConfig("minilm", 384), has_role=False)]
    expected = ServiceEmbedding(service).embed(texts, columns).columns["v"]
    vectors = np.asarray(rows.column("text_384").to_pylist()[::97], np.float32)
    assert cosines(vectors, expected).min() > 0.999


@pytest.fixture(scope="module")
def word_vectors(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with ``words``: MiniLM's 384 dims without its layers, which is fast."""
    folder = tmp_path_factory.mktemp("words")
    tensors = load_file(minilm_checkpoint / "model.safetensors")
    (name,) = (name for name in tensors if name.endswith("word_embeddings.weight"))
    save_file({"embeddings": tensors[name]}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "model2vec", "normalize": true}')
    shutil.copy(minilm_checkpoint / "tokenizer.json", folder)
    models = folder / "models"
    export(ExportOptions(str(folder), models, "words", verify="quick"))
    return models


@pytest.mark.nightly
def test_a_million_rows_while_workers_and_commands_are_killed(tmp_path: Path, word_vectors: Path) -> None:
    program = Path(__file__).parents[1] / "benchmarks" / "bulk.py"
    options = [
        "--models",
        str(word_vectors),
        "--encoder",
        "words",
        "--rows",
        "1000000",
        "--folder",
        str(tmp_path),
    ]
    results = tmp_path / "kills.json"
    command = [sys.executable, str(program), "kills", *options, "--json", str(results)]
    subprocess.run(command, timeout=7_200, check=True)
    result = json.loads(results.read_text())["kills"]
    assert result["killed"] == {"worker": 10, "command": 3}
    assert result["begun_again"] <= 2 * 13
    wrong = {name: result[name] for name in ("lost", "doubled", "wrong_text", "wrong_vector")}
    assert wrong == {"lost": 0, "doubled": 0, "wrong_text": 0, "wrong_vector": 0}
    assert result["files_without_a_record"] <= 2 * 13
