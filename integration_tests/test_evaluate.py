from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from pymilvus import MilvusClient

from nestvec.cli import cli
from nestvec.milvus.connection import open_milvus

DATA = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve()

Rows = list[dict[str, object]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of Cranfield that is encoded in seconds: 300 documents and the queries that they answer."""
    source = DATA / "cranfield"
    if not source.is_dir():
        pytest.skip(f"{source} is not there; NESTVEC_DATA names the folder that holds it")
    folder = tmp_path_factory.mktemp("data") / "part"
    (folder / "qrels").mkdir(parents=True)
    corpus = (source / "corpus.jsonl").read_text().splitlines()[:300]
    kept = {json.loads(line)["_id"] for line in corpus}
    header, *lines = (source / "qrels" / "test.tsv").read_text().splitlines()
    judged = [line for line in lines if line.split("\t")[1] in kept]
    (folder / "corpus.jsonl").write_text("\n".join(corpus))
    (folder / "queries.jsonl").write_text((source / "queries.jsonl").read_text())
    (folder / "qrels" / "test.tsv").write_text("\n".join([header, *judged]))
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def evaluate(data: Path, models: Path, cache: Path, *options: str) -> tuple[Rows, str]:
    arguments = [str(data), "--encoder", "minilm", "--models", str(models), "--cache", str(cache)]
    done = CliRunner().invoke(cli, ["evaluate", *arguments, "--json", "-", *options], catch_exceptions=False)
    assert done.exit_code == 0
    rows: Rows = json.loads(done.stdout)
    return rows, done.stderr


def quality(rows: Rows) -> dict[tuple[object, ...], list[object]]:
    return {
        (row["form"], row["dim"]): [row[name] for name in ("ndcg@10", "recall@100", "mrr@10")] for row in rows
    }


def test_a_real_encoder(data: Path, models: Path, cache: Path, tmp_path: Path) -> None:
    rows, _ = evaluate(data, models, cache, "--report", str(tmp_path / "report.html"))
    kept = {(row["form"], row["dim"]): float(str(row["kept"])) for row in rows}
    assert kept["float", 384] == 1.0
    assert kept["float", 32] < kept["float", 128] < 1.0
    assert kept["int8", 384] > 0.99
    assert kept["shortlist", 128] > 0.99
    assert "<svg" in (tmp_path / "report.html").read_text()
    again, _ = evaluate(data, models, cache)
    assert again == rows


def test_milvus_finds_what_an_exact_search_finds(
    data: Path, models: Path, cache: Path, tmp_path: Path
) -> None:
    uri = str(tmp_path / "own.db")
    with open_milvus(uri) as client:
        client.create_collection("mine", dimension=4)
    options = ("--dims", "384,64", "--candidates", "50")
    exact, _ = evaluate(data, models, cache, *options, "--forms", "float,shortlist")
    found, said = evaluate(data, models, cache, *options, "--through", "milvus", "--uri", uri)
    assert quality(found) == quality(exact)
    assert {row["through"] for row in found} == {"milvus"}
    assert "does not support the form int8 at 384, 64 dims: skipped" in said
    assert "does not support the form binary" in said
    with open_milvus(uri) as client:
        assert client.list_collections() == ["mine"]


def test_collections_are_gone_after_an_error(
    data: Path, models: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: MilvusClient, *arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    uri = str(tmp_path / "own.db")
    monkeypatch.setattr(MilvusClient, "search", broken)
    arguments = [str(data), "--encoder", "minilm", "--models", str(models), "--cache", str(cache)]
    target = tmp_path / "rows.json"
    done = CliRunner().invoke(
        cli, ["evaluate", *arguments, "--through", "milvus", "--uri", uri, "--json", str(target)]
    )
    assert done.exit_code != 0
    assert not target.exists()
    with open_milvus(uri) as client:
        assert client.list_collections() == []
