"""Which encoder made the vectors of a collection: recorded, shown, and found out for collections that do not
say it, on Milvus Lite with real encoders, across restarts and in other processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from integration_tests.fixtures.services import vacant_address
from integration_tests.fixtures.tiny_checkpoints import write_tiny
from integration_tests.test_fingerprint import serving
from pymilvus import DataType, Function, FunctionType, MilvusClient

import nestvec
from nestvec.cli import cli
from nestvec.milvus.catalog import read_table
from nestvec_exporters import ExportOptions, export
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import ManifestCorrupt, NestvecError
from nestvec_schemas.repository import read_manifest

WORDS = ["heat", "flow", "shock", "wave", "bread", "rises", "boat", "river", "stone", "cloud"]


def text_of(number: int) -> str:
    return " ".join(WORDS[(number * step + step) % len(WORDS)] for step in (1, 3, 7))


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Repositories whose encoder ``tiny`` has the same weights in two precisions, and other weights."""
    work = tmp_path_factory.mktemp("repositories")
    for name, seed, precision in (("fp32", 0, "fp32"), ("fp16", 0, "fp16"), ("other", 1, "fp32")):
        checkpoint = work / f"checkpoint{seed}"
        if not checkpoint.exists():
            write_tiny("decoder", checkpoint, seed)
        export(
            ExportOptions(
                str(checkpoint),
                work / name,
                "tiny",
                precision=precision,  # type: ignore[arg-type]
                verify="quick",
                overrides=Overrides(pooling="lasttoken"),
            )
        )
    return {path.name: path for path in work.iterdir() if (path / "tiny").exists()}


def create_unrecorded(path: Path, service: str, name: str = "papers") -> None:
    """A collection as versions without fingerprints created it, with two fields of one encoder."""
    client = MilvusClient(str(path))
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("body", DataType.VARCHAR, max_length=512)
    indexes = MilvusClient.prepare_index_params()
    for dim in (16, 32):
        column = f"body_{dim}"
        schema.add_field(column, DataType.FLOAT_VECTOR, dim=dim)
        indexes.add_index(column, index_type="AUTOINDEX", metric_type="COSINE")
        params = {
            "provider": "openai",
            "base_url": f"{service}/v1",
            "model_name": "tiny",
            "dimensions": dim,
            "api_key": "unused",
        }
        schema.add_function(
            Function(f"{column}_f", FunctionType.TEXTEMBEDDING, ["body"], [column], params=params)
        )
    client.create_collection(name, schema=schema, index_params=indexes)
    client.close()


def insert(path: Path, start: int, count: int) -> None:
    client = MilvusClient(str(path))
    client.insert(
        "papers", [{"id": number, "body": text_of(number)} for number in range(start, start + count)]
    )
    client.close()


Run = Callable[..., Any]


@pytest.fixture
def run() -> Run:
    def invoke(*args: object) -> Any:
        return CliRunner().invoke(cli, [str(argument) for argument in args], catch_exceptions=True)

    return invoke


def said(result: Any) -> str:
    """What a command wrote, with the error that ended it."""
    return f"{result.output}{result.exception or ''}"


def statuses(run: Run, path: Path) -> dict[str, tuple[str, bool]]:
    shown = run("collection", "show", "papers", "--uri", path, "--json")
    assert shown.exit_code == 0, shown.output
    return {
        entry["column"]: (entry["comparison"], entry["guarded"])
        for entry in json.loads(shown.stdout)["embeddings"]
    }


def test_an_old_collection_is_adopted_by_the_encoder_that_made_it_alone(
    repositories: dict[str, Path], tmp_path: Path, run: Run
) -> None:
    path, address = tmp_path / "papers.db", vacant_address()
    create_unrecorded(path, address)
    with serving(repositories["fp32"], address):
        insert(path, 0, 30)
        assert set(statuses(run, path).values()) == {("not recorded", False)}
    with serving(repositories["other"], address):
        refused = run("collection", "adopt", "papers", "--uri", path)
        assert refused.exit_code == 1
        assert "did not make all the vectors of papers.body_16, and nothing was recorded" in said(refused)
        assert "30 of 30 sampled rows differ" in said(refused)
        assert set(statuses(run, path).values()) == {("not recorded", False)}
    with serving(repositories["fp16"], address):
        adopted = run("collection", "adopt", "papers", "--uri", path, "--field", "body_16", "--json")
        assert adopted.exit_code == 0, adopted.output
        (adoption,) = json.loads(adopted.stdout)
        assert (adoption["rows"], adoption["measure"], adoption["guarded"]) == (30, "cosine", False)
        assert adoption["agreement"] > 0.999
    with serving(repositories["fp32"], address):
        assert run("collection", "adopt", "papers", "--uri", path).exit_code == 0
        assert "Nothing to adopt" in run("collection", "adopt", "papers", "--uri", path).output
        assert statuses(run, path) == {"body_16": ("other precision", False), "body_32": ("same", False)}
    assert statuses(run, path) == {"body_16": ("no answer", False), "body_32": ("no answer", False)}
    with serving(repositories["other"], address):
        assert statuses(run, path) == {"body_16": ("different", False), "body_32": ("different", False)}
        with nestvec.connect(str(path)) as connection:
            for statement in (
                "INSERT INTO papers (id, body) VALUES (99, 'heat')",
                "SELECT id FROM papers ORDER BY body_16 <=> 'heat' LIMIT 3",
                "SELECT EMBED('heat', 'tiny') <=> body_32 AS d FROM papers LIMIT 1",
            ):
                with pytest.raises(Exception, match=r"another encoder 'tiny'.*recorded 20.*collection embed"):
                    connection.execute(statement)
        rows = tmp_path / "rows.jsonl"
        rows.write_text(json.dumps({"id": 99, "body": "heat"}) + "\n")
        ingest = ("ingest", rows, "--collection", "papers", "--uri", path, "--retry-seconds", 0)
        refused = run(*ingest)
        assert refused.exit_code == 1
        assert "another encoder 'tiny'" in said(refused)
    client = MilvusClient(str(path))
    client.load_collection("papers")
    assert len(client.query("papers", filter="id >= 0", output_fields=["id"], limit=99)) == 30
    client.close()


def test_a_collection_of_two_encoders_is_not_adopted(
    repositories: dict[str, Path], tmp_path: Path, run: Run
) -> None:
    path, address = tmp_path / "papers.db", vacant_address()
    create_unrecorded(path, address)
    with serving(repositories["fp32"], address):
        insert(path, 0, 40)
    with serving(repositories["other"], address):
        insert(path, 40, 10)
    for name in ("fp32", "other"):
        with serving(repositories[name], address):
            refused = run("collection", "adopt", "papers", "--uri", path)
            assert refused.exit_code == 1
            assert f"{10 if name == 'fp32' else 40} of 50 sampled rows differ" in said(refused)
            unknown = run("collection", "adopt", "papers", "--uri", path, "--field", "body_61")
            assert "has no field of this name" in said(unknown)
            assert "body_16" in said(unknown)


def test_an_empty_collection_is_adopted(repositories: dict[str, Path], tmp_path: Path, run: Run) -> None:
    path, address = tmp_path / "papers.db", vacant_address()
    create_unrecorded(path, address)
    with serving(repositories["fp32"], address):
        adopted = json.loads(run("collection", "adopt", "papers", "--uri", path, "--json").stdout)
    assert [(entry["rows"], entry["agreement"]) for entry in adopted] == [(0, None), (0, None)]


def test_a_collection_records_its_encoders_when_it_is_created(
    repositories: dict[str, Path], tmp_path: Path, run: Run
) -> None:
    path, address = tmp_path / "papers.db", vacant_address()
    spec = tmp_path / "papers.yaml"
    spec.write_text(
        f"""
collection: papers
service: {address}
fields:
  id:   {{type: INT64, primary: true}}
  body: {{type: VARCHAR, max_length: 512}}
embeddings:
  - {{field: body, encoder: current, dims: [32]}}
"""
    )
    with serving(repositories["fp32"], address):
        created = run("collection", "create", spec, "--uri", path)
        assert created.exit_code == 0, created.output
        assert set(statuses(run, path).values()) == {("same", True)}
    manifest = read_manifest(repositories["fp32"] / "tiny")
    assert manifest.fingerprint is not None
    # In a process of its own: nothing of this one is remembered.
    code = (
        "import sys\n"
        "from pymilvus import MilvusClient\n"
        "from nestvec.milvus.catalog import read_table\n"
        "for column in read_table(MilvusClient(sys.argv[1]), 'papers').embeddings:\n"
        "    record = column.recorded\n"
        "    print(column.pinned, record.fingerprint, record.precision, record.encoder, bool(record.date))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    fingerprint = manifest.fingerprint.fingerprint
    assert answer.stdout == f"{fingerprint} {fingerprint} fp32 current True\n"
    with serving(repositories["fp16"], address):
        insert(path, 0, 3)
        assert set(statuses(run, path).values()) == {("other precision", True)}
    with serving(repositories["other"], address), pytest.raises(Exception, match="is another encoder"):
        insert(path, 3, 3)
    alter = ("collection", "alter", spec, "--uri", path, "--yes")
    with serving(repositories["fp16"], address):
        assert "the collection is as the spec declares it" in said(run(*alter))
    # The spec is what it was, and the name stands for another encoder.
    with serving(repositories["other"], address):
        altered = run(*alter)
        assert altered.exit_code == 0, said(altered)
        assert set(statuses(run, path).values()) == {("same", True)}
        insert(path, 3, 3)
    client = MilvusClient(str(path))
    client.load_collection("papers")
    assert len(client.query("papers", filter="id >= 0", output_fields=["id"], limit=99)) == 6
    client.close()


def test_encoder_json_that_was_edited_is_not_served(repositories: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(repositories["fp32"], tmp_path / "models")
    path = tmp_path / "models" / "tiny" / "encoder.json"
    content = json.loads(path.read_text())
    content["towers"]["text"]["max_tokens"] -= 1
    path.write_text(json.dumps(content))
    with (
        pytest.raises(ManifestCorrupt, match="was changed after the export"),
        serving(tmp_path / "models", vacant_address()),
    ):
        pass


def test_weights_that_were_swapped_are_not_served(repositories: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(repositories["fp32"], tmp_path / "models")
    shutil.copy(
        repositories["other"] / "tiny" / "1" / "model.onnx", tmp_path / "models" / "tiny" / "1" / "model.onnx"
    )
    with (
        pytest.raises(NestvecError, match="is not the file that was exported"),
        serving(tmp_path / "models", vacant_address()),
    ):
        pass


def test_a_record_that_was_damaged_permits_no_encoder(
    repositories: dict[str, Path], tmp_path: Path, run: Run
) -> None:
    path, address = tmp_path / "papers.db", vacant_address()
    create_unrecorded(path, address)
    client = MilvusClient(str(path))
    client.alter_collection_properties("papers", {"nestvec.fingerprint.body_16": "{"})
    assert read_table(client, "papers").embeddings[0].config.fingerprint == "illegible"
    client.close()
    with serving(repositories["fp32"], address):
        assert statuses(run, path)["body_16"] == ("different", False)
