"""``nestvec ingest`` on a real Milvus Lite: every row once, also after kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from integration_tests.fixtures.services import vacant_address

from nestvec.collections import lifecycle
from nestvec.ingest import IngestOptions, ingest
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec.milvus.lite import count_rows
from nestvec.service.in_process import serve_in_process
from nestvec_schemas.spec.yaml_file import parse_spec

SPEC = """
collection: docs
service: {service}
dynamic: {dynamic}
fields:
  id:    {{type: INT64, primary: true, auto_id: {auto_id}}}
  text:  {{type: VARCHAR, max_length: 100}}
  name:  {{type: VARCHAR, max_length: 40, nullable: true}}
  year:  {{type: INT32, nullable: true, default: 2000}}
  real:  {{type: FLOAT, default: 0.5}}
  flag:  {{type: BOOL, nullable: true}}
  about: {{type: JSON, nullable: true}}
  tags:  {{type: ARRAY, element_type: VARCHAR, max_length: 9, max_capacity: 3, nullable: true}}
embeddings:
  - {{field: text, encoder: minilm, dims: [64, 384]}}
"""
SECONDS = 300


class Place:
    """A database with the collection ``docs``, and the command line on it."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder, self.models = folder, models
        self.uri = str(folder / "a.db")
        self.service = vacant_address()

    def create(self, *, auto_id: bool = False, dynamic: bool = False) -> None:
        text = SPEC.format(service=self.service, auto_id=str(auto_id).lower(), dynamic=str(dynamic).lower())
        spec = parse_spec(text, path="spec")
        with open_milvus(self.uri) as client, serve_in_process(spec.services, self.models):
            lifecycle.create_collection(client, spec)

    def command(self, file: Path, *options: str) -> list[str]:
        where = ["--collection", "docs", "--uri", self.uri, "--models", str(self.models)]
        return [
            sys.executable,
            "-c",
            "from nestvec.cli import main; main()",
            "ingest",
            str(file),
            *where,
            *options,
        ]

    def ingest(self, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(file, *options), capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def rows(self) -> list[dict[str, Any]]:
        fields = ["id", "text", "name", "year", "real", "flag", "about", "tags"]
        with open_milvus(self.uri) as client:
            client.load_collection("docs")
            found = client.query("docs", filter="", output_fields=fields, limit=16_384)
            count = count_rows(client, "docs")
        assert count == len(found)
        return sorted(found, key=lambda row: str(row["name"]))


@pytest.fixture
def place(tmp_path: Path, models: Path) -> Place:
    return Place(tmp_path, models)


def jsonl(path: Path, rows: Iterator[dict[str, object]] | list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("default", ["", "hello world"])
def test_a_default_is_embedded_as_the_same_text_is(place: Place, default: str) -> None:
    text = SPEC.format(service=place.service, auto_id="false", dynamic="false")
    text = text.replace("max_length: 100}", f"max_length: 100, default: '{default}'}}")
    spec = parse_spec(text, path="spec")
    path = jsonl(
        place.folder / "x.jsonl", [{"id": 1}, {"id": 2, "text": "hello world"}, {"id": 3, "text": "a cat"}]
    )
    with open_milvus(place.uri) as client, serve_in_process(spec.services, place.models):
        lifecycle.create_collection(client, spec)
        report = ingest(client, read_table(client, "docs"), path, IngestOptions(place.uri))
        client.load_collection("docs")
        rows = client.query("docs", filter="", output_fields=["id", "text_384"], limit=10)
    vectors = {row["id"]: row["text_384"] for row in rows}
    if default:
        assert vectors[1] == pytest.approx(vectors[2], abs=1e-5)
        assert vectors[1] != pytest.approx(vectors[3], abs=1e-2)
    else:
        assert sorted(vectors) == [2, 3]
        assert "there is nothing to embed" in report.reasons[0]


def test_an_ingest_that_starts_before_its_service_waits_for_it(place: Place, tmp_path: Path) -> None:
    place.create()
    path = jsonl(place.folder / "x.jsonl", [{"id": 1, "text": "hello world", "name": "a"}])
    models, place.models = place.models, tmp_path / "no encoders"
    command = place.command(path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        said = process.stderr.readline()
        with serve_in_process([place.service], models):
            printed, more = process.stdout.read(), process.stderr.read()
            assert process.wait(SECONDS) == 0, more
    assert said.startswith(f"The service at {place.service} of collection docs does not answer")
    assert "Trying again for up to 60 min." in said
    assert "1 rows into docs" in printed
    assert [row["id"] for row in place.rows()] == [1]


def test_every_type_from_every_kind_of_file(place: Place) -> None:
    place.create()
    first = {"id": 1, "text": "é" * 50, "name": "a\0b", "year": -5, "real": 2.5, "flag": True}
    last = {"id": 2, "text": "two", "name": "b", "year": None, "real": None, "flag": None, "tags": None}
    typed = [first | {"about": {"a": [1]}, "tags": ["x"]}, last | {"about": ["word"]}]
    stored = [typed[0], typed[1] | {"year": 2000, "real": 0.5}]
    files = [jsonl(place.folder / "x.jsonl", typed)]
    files.append(place.folder / "x.csv")
    files[1].write_text(
        "\ufeffid,text,name,year,real,flag,about,tags\r\n"
        f'1,{"é" * 50},a\0b,-5,2.5,yes,"{{""a"": [1]}}","[""x""]"\r\n2,two,b,,,,"[""word""]",\r\n',
        newline="",
    )
    files.append(place.folder / "x.parquet")
    about = ['{"a": [1]}', '["word"]']
    pq.write_table(
        pa.Table.from_pylist([row | {"about": text} for row, text in zip(typed, about, strict=True)]),
        files[2],
    )
    for file in files:
        done = place.ingest(file, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["inserted"] == 2
        assert place.rows() == stored


def test_rows_that_cannot_be_stored_are_in_a_file_with_the_reason(place: Place) -> None:
    place.create()
    file = place.folder / "x.csv"
    file.write_text(f"id,text,name\n1,one,a\n2,two\n3,,c\n4,{'é' * 51},d\n5,five,e,f\nx,six,g\n7,seven,h\n")
    done = place.ingest(file)
    assert done.returncode == 0, done.stderr
    assert "2 rows into docs" in done.stdout
    assert "5 rejected; see " in done.stdout
    assert [row["name"] for row in place.rows()] == ["a", "h"]
    lines = (place.folder / "x.csv.rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["place"] for line in lines] == [f"line {n}" for n in (3, 4, 5, 6, 7)]
    reasons = [json.loads(line)["reason"] for line in lines]
    assert "the row has 2 cells, the header 3" in reasons[0]
    assert "102 bytes" in reasons[2]


def test_a_file_of_which_no_row_can_be_stored_fails(place: Place) -> None:
    place.create()
    assert place.ingest(jsonl(place.folder / "x.jsonl", [{"id": 1}])).returncode == 1
    done = place.ingest(jsonl(place.folder / "y.jsonl", []))
    assert (done.returncode, "0 rows into docs" in done.stdout) == (0, True)


def test_a_header_that_does_not_fit_is_one_error(place: Place) -> None:
    place.create()
    file = place.folder / "x.csv"
    file.write_text("id,txt\n1,a\n")
    done = place.ingest(file)
    assert done.returncode == 1
    assert "a column that docs does not have: txt" in done.stderr
    assert "Did you mean 'text'" in done.stderr


def test_a_dynamic_collection_keeps_other_columns(place: Place) -> None:
    place.create(dynamic=True)
    place.ingest(jsonl(place.folder / "x.jsonl", [{"id": 1, "text": "a", "more": {"deep": [1]}}]))
    with open_milvus(place.uri) as client:
        client.load_collection("docs")
        assert client.query("docs", filter="id == 1", output_fields=["more"])[0]["more"] == {"deep": [1]}


def test_a_database_in_use(place: Place) -> None:
    place.create()
    file = jsonl(place.folder / "x.jsonl", [{"id": 1, "text": "a"}])
    with open_milvus(place.uri):
        done = place.ingest(file)
    assert done.returncode == 1
    assert "another process has this Milvus Lite database open" in done.stderr


def interrupted(place: Place, file: Path, number: int) -> subprocess.CompletedProcess[str]:
    """An ingest that gets a signal as soon as its journal says that some rows are done."""
    journal = file.with_name(f"{file.name}.docs.ingest.json")
    with subprocess.Popen(
        place.command(file, "--batch", "4"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        limit = time.monotonic() + SECONDS
        while time.monotonic() < limit and process.poll() is None:
            if journal.exists() and json.loads(journal.read_bytes())["reached"]["inserted"] >= 8:
                os.kill(process.pid, number)
                break
            time.sleep(0.005)
        out, err = process.communicate(timeout=SECONDS)
    assert journal.exists(), err
    return subprocess.CompletedProcess([], process.returncode, out, err)


@pytest.mark.parametrize("auto_id", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_after_kill_9_the_same_command_writes_every_row_once(place: Place, auto_id: bool) -> None:
    place.create(auto_id=auto_id)
    rows: list[dict[str, object]] = [
        {"text": "" if n % 10 == 9 else f"text {n} of many", "name": f"{n:04}"}
        | ({} if auto_id else {"id": n})
        for n in range(240)
    ]
    file = jsonl(place.folder / "x.jsonl", rows)
    assert interrupted(place, file, signal.SIGKILL).returncode == -signal.SIGKILL
    done = place.ingest(file, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (report["inserted"], report["rejected"], report["finished"]) == (216, 24, True)
    assert 8 <= report["resumed_at"] < 240
    assert [row["name"] for row in place.rows()] == [row["name"] for row in rows if row["text"]]
    lines = (place.folder / "x.jsonl.rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"]["name"] for line in lines] == [f"{n:04}" for n in range(9, 240, 10)]
    assert not list(place.folder.glob("*.ingest.json*"))


@pytest.mark.parametrize("auto_id", [pytest.param(False, marks=pytest.mark.nightly), True])
def test_a_collection_that_was_created_again_is_not_the_one_that_has_the_first_rows(
    place: Place, auto_id: bool
) -> None:
    place.create(auto_id=auto_id)
    rows: list[dict[str, object]] = [
        {"text": f"text {n}", "name": f"{n:04}"} | ({} if auto_id else {"id": n}) for n in range(240)
    ]
    file = jsonl(place.folder / "x.jsonl", rows)
    interrupted(place, file, signal.SIGKILL)
    with open_milvus(place.uri) as client:
        lifecycle.drop_collection(client, "docs")
    place.create(auto_id=auto_id)
    others = jsonl(place.folder / "y.jsonl", [{"text": "y", "name": "y"} | ({} if auto_id else {"id": 900})])
    assert place.ingest(others).returncode == 0
    refused = place.ingest(file)
    assert refused.returncode == 1
    assert "dropped and created again" in refused.stderr
    assert place.ingest(file, "--restart").returncode == 0
    assert sorted(row["name"] for row in place.rows()) == sorted(["y", *(f"{n:04}" for n in range(240))])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_after_the_batch_and_says_how_to_go_on(place: Place, number: int) -> None:
    place.create()
    rows: list[dict[str, object]] = [{"id": n, "text": f"text {n}", "name": f"{n:04}"} for n in range(240)]
    file = jsonl(place.folder / "x.jsonl", rows)
    stopped = interrupted(place, file, number)
    assert stopped.returncode == 130, stopped.stderr
    assert "To continue, run the same command again (without --restart)." in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert place.ingest(file).returncode == 0
    assert [row["name"] for row in place.rows()] == [row["name"] for row in rows]


def test_a_file_that_changed_meanwhile_is_not_gone_on_with(place: Place) -> None:
    place.create()
    file = jsonl(place.folder / "x.jsonl", [{"id": n, "text": f"text {n}"} for n in range(240)])
    interrupted(place, file, signal.SIGKILL)
    jsonl(file, [{"id": n, "text": f"text {n}"} for n in range(5)])
    done = place.ingest(file)
    assert done.returncode == 1
    assert "the file's size has changed since" in done.stderr
    assert place.ingest(file, "--restart").returncode == 0
