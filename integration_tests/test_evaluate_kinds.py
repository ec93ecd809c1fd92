"""``nestvec evaluate`` of other kinds: the real SPLADE-tiny, a cross-encoder, a late interaction."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from integration_tests.fixtures.services import Serve

from nestvec.cli import cli
from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed_vectors, embed_weights
from nestvec.datasets.beir import open_dataset
from nestvec.evaluate.metrics.ranking import per_query_metrics
from nestvec_schemas.embedding_config import EmbeddingConfig

DATA = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve()
DOCUMENTS, QUERIES, DEPTH = 50, 3, 5


@pytest.fixture(scope="module")
def repository(ranking: Path, words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``minilm``, ``splade``, ``reranker`` (ms-marco-MiniLM-L-12-v2), ``colbert`` (its backbone)."""
    folder = Path(shutil.copytree(ranking, tmp_path_factory.mktemp("kinds") / "models"))
    shutil.copytree(words / "splade", folder / "splade")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first queries of Cranfield over their judged documents and some others."""
    whole = DATA / "cranfield"
    if not whole.is_dir():
        pytest.skip(f"{whole} is not there; NESTVEC_DATA names the folder that holds it")
    folder = tmp_path_factory.mktemp("data") / "few"
    (folder / "qrels").mkdir(parents=True)
    head, *judged = (whole / "qrels" / "test.tsv").read_text().splitlines()
    queries = [line for line in (whole / "queries.jsonl").read_text().splitlines() if line][:QUERIES]
    ids = {str(json.loads(line)["_id"]) for line in queries}
    judged = [line for line in judged if line.split("\t")[0] in ids]
    wanted = {line.split("\t")[1] for line in judged}
    corpus = (whole / "corpus.jsonl").read_text().splitlines()
    mine = [line for line in corpus if str(json.loads(line)["_id"]) in wanted]
    others = [line for line in corpus if str(json.loads(line)["_id"]) not in wanted]
    (folder / "corpus.jsonl").write_text("\n".join(mine + others[: max(0, DOCUMENTS - len(mine))]))
    (folder / "queries.jsonl").write_text("\n".join(queries))
    (folder / "qrels" / "test.tsv").write_text("\n".join([head, *judged]))
    return folder


@pytest.fixture(scope="module")
def service(repository: Path, serve: Serve) -> str:
    return serve(repository)


@pytest.fixture(scope="module")
def rows(repository: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("measured")
    command = [
        *("evaluate", str(data), "--models", str(repository), "--encoder", "minilm", "--encoder", "splade"),
        *(
            "--dims",
            "384",
            "--forms",
            "float",
            "--top",
            "64,8",
            "--rerank",
            "reranker",
            "--rerank",
            "colbert",
        ),
        *("--depth", str(DEPTH), "--cache", str(folder / "cache")),
        *("--json", str(folder / "rows.json"), "--report", str(folder / "report.html")),
    ]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "by colbert" in done.output
    page = (folder / "report.html").read_text()
    assert "minilm, first 5 by colbert" in page
    found: list[dict[str, Any]] = json.loads((folder / "rows.json").read_text())
    return found


def one(rows: list[dict[str, Any]], **equal: object) -> dict[str, Any]:
    (found,) = (row for row in rows if all(row[name] == value for name, value in equal.items()))
    return found


def test_sparse_rows_are_the_products_of_the_services_weights(
    rows: list[dict[str, Any]], data: Path, service: str
) -> None:
    dataset = open_dataset(data)
    request = EmbeddingRequest(service, EmbeddingConfig("splade", form="sparse"))
    queries = embed_weights(request, dataset.queries.inputs, query=True)
    for top, dim in ((None, 30_522), (64, 64), (8, 8)):
        documents = embed_weights(
            EmbeddingRequest(service, EmbeddingConfig("splade", form="sparse", top=top)),
            list(dataset.read_corpus()),
        )
        products = np.array(
            [[sum(v * d.get(w, 0) for w, v in q.items()) for d in documents] for q in queries]
        )
        order = np.argsort(-products, axis=1, kind="stable")
        order[np.take_along_axis(products, order, 1) <= 0] = -1
        row = one(rows, form="sparse", dim=dim)
        assert row["bytes"] == round(8 * np.mean([len(one) for one in documents]))
        scores = per_query_metrics(dataset, order)
        for name in ("ndcg@10", "recall@100", "mrr@10"):
            assert row[name] == pytest.approx(scores[name].mean(), abs=0.01)


@pytest.mark.parametrize("name", ["reranker", "colbert"])
def test_reranked_rows_are_in_the_services_order(
    rows: list[dict[str, Any]], data: Path, service: str, name: str
) -> None:
    dataset = open_dataset(data)
    texts = list(dataset.read_corpus())
    asked = embed_vectors(
        EmbeddingRequest(service, EmbeddingConfig("minilm", 384)), dataset.queries.inputs, query=True
    )
    stored = embed_vectors(EmbeddingRequest(service, EmbeddingConfig("minilm", 384)), texts)
    found = np.argsort(-(asked @ stored.T), axis=1, kind="stable")
    for row, query in enumerate(dataset.queries.inputs):
        body = {"query": query, "texts": [texts[at] for at in found[row, :DEPTH]]}
        ranked = httpx.post(f"{service}/rerank?encoder={name}", json=body, timeout=120).json()
        found[row, :DEPTH] = found[row, [each["index"] for each in ranked]]
    row = one(rows, form="reranked", encoder="minilm", reranker=name)
    for measure, scores in per_query_metrics(dataset, found).items():
        assert row[measure] == pytest.approx(scores.mean(), abs=0.01)
    assert row["ndcg@10_unrescored"] == one(rows, form="float", encoder="minilm")["ndcg@10"]
    assert row["ms_per_query"] > one(rows, form="float", encoder="minilm")["ms_per_query"]
    assert one(rows, form="reranked", encoder="splade", reranker=name)["candidates"] == DEPTH


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--encoder", "splade", "--dims", "64"], "a sparse encoder's dims are words"),
        (["--encoder", "minilm", "--top", "64"], "--top is for sparse encoders"),
        (["--encoder", "reranker"], "--rerank reranker"),
        (["--encoder", "minilm", "--rerank", "splade"], "splade cannot score queries with documents"),
        (["--encoder", "splade", "--through", "milvus"], "can only be searched exactly"),
        (["--encoder", "minilm", "--depth", "5"], "--depth needs --rerank"),
    ],
)
def test_options_that_do_not_fit_are_errors(
    repository: Path, data: Path, asked: list[str], said: str
) -> None:
    done = CliRunner().invoke(cli, ["evaluate", str(data), "--models", str(repository), *asked])
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)
