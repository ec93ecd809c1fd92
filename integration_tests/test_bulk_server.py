"""The import of bulk files by the real C++ Milvus 2.3.5, whose wheel has an environment of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

from nestvec.bulk.imports.server import ServerImport
from nestvec.bulk.locations import OutputFolder
from nestvec.bulk.manifest import ImportRecord, OutputFile, read_imports, write_imports
from nestvec.bulk.plan import input_files, plan_tasks
from nestvec.bulk.task import EngineChoice, TaskRunner, Work
from nestvec.ingest.options import IngestOptions
from nestvec.ingest.write.patience import Patience
from nestvec.milvus.catalog import read_table
from nestvec_schemas.errors import StoreRefused

pytestmark = pytest.mark.nightly
SECONDS = 300
OPTIONS = IngestOptions("milvus")
VECTORS = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)


def standalone() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "standalone.py"
    spec = importlib.util.spec_from_file_location("standalone", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[MilvusClient]:
    """A server with the collection ``docs``; NESTVEC_MILVUS_VENV names an environment that has its wheel."""
    module = standalone()
    named = os.environ.get("NESTVEC_MILVUS_VENV")
    venv = Path(named or tmp_path / "venv")
    if named is None:
        module.setup(venv)
    with module.server(venv, tmp_path) as (client, _):
        schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("text", DataType.VARCHAR, max_length=200)
        for name, kind in (
            ("flag", DataType.BOOL),
            ("tiny", DataType.INT8),
            ("real", DataType.FLOAT),
            ("fine", DataType.DOUBLE),
            ("about", DataType.JSON),
        ):
            schema.add_field(name, kind)
        schema.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=8, max_length=50)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=8)
        indexes = client.prepare_index_params()
        indexes.add_index("v", index_type="FLAT", metric_type="L2")
        client.create_collection("docs", schema=schema, index_params=indexes)
        yield client


def row(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "text": f"text {number} é",
        "flag": bool(number % 2),
        "tiny": number,
        "real": number / 4,
        "fine": number / 8,
        "about": {"n": [number, None]},
        "tags": [f"t{number}"],
        "v": VECTORS[number].tolist(),
        "more": number,
    }


def count(client: MilvusClient) -> int:
    return int(client.query("docs", filter="id >= 0", output_fields=["count(*)"])[0]["count(*)"])


def test_each_file_is_imported_once(milvus: MilvusClient, tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row(number)) + "\n" for number in range(50)))
    table, folder = read_table(milvus, "docs"), OutputFolder(str(tmp_path / "job"))
    runner = TaskRunner(Work(table, folder.address, OPTIONS, EngineChoice(tmp_path / "models")))
    files = [
        file for task in plan_tasks(input_files(str(source), OPTIONS), 20) for file in runner(task).files
    ]
    handler = milvus._get_connection()
    importing = ServerImport(handler, table, folder, Patience(SECONDS), requests=2)
    assert importing.run(files, read_imports(folder), lambda rows: None) == 50
    jobs = len(handler.list_bulk_insert_tasks(100, "docs"))
    assert jobs == len(files) == 3
    # As after an end between a request and its answer.
    lost = {file.name: ImportRecord(file=file.name, state="started") for file in files}
    write_imports(folder, lost)
    importing.run(files, lost, lambda rows: None)
    assert len(handler.list_bulk_insert_tasks(100, "docs")) == jobs
    milvus.load_collection("docs")
    deadline = time.monotonic() + SECONDS
    # A finished import is not in the searched segments yet.
    while count(milvus) < 50 and time.monotonic() < deadline:
        time.sleep(0.5)
    stored = milvus.query("docs", filter="id >= 0", output_fields=["*"], limit=100)
    by_id = {each["id"]: each for each in stored}
    assert sorted(by_id) == list(range(50))
    for number in range(50):
        expected, actual = row(number), by_id[number]
        np.testing.assert_allclose(actual.pop("v"), expected.pop("v"), atol=1e-6)
        assert {**actual, "tags": list(actual["tags"])} == expected
    (tmp_path / "job" / "files" / "bad.parquet").write_bytes(b"PAR1 and no index")
    bad = OutputFile(name="files/bad.parquet", rows=1, size=17, sha256="")
    with pytest.raises(StoreRefused, match=r"could not import files/bad\.parquet"):
        importing.run([bad], read_imports(folder), lambda rows: None)
    assert count(milvus) == 50
