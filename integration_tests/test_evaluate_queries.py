"""New queries on old documents, as they are while an encoder is upgraded: measured, and by the service."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from integration_tests.fixtures.services import Serve

from nestvec.cli import cli
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.vectors import Vectors, normalise

TEXTS = tuple(dict.fromkeys(" ".join(text.split())[:200] for text in sample_texts(500)))[:300]
QUERIES = {number: " ".join(TEXTS[number].split()[2:8]) for number in range(0, 300, 6)}


def write_data(folder: Path) -> Path:
    """Each query is of a document's words, which is the one to find."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{number}", "text": text} for number, text in enumerate(TEXTS)]
    queries = [{"_id": f"q{number}", "text": text} for number, text in QUERIES.items()]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = [f"q{number}\td{number}\t1" for number in QUERIES]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]))
    return folder


def by_service(service: str, model: str, texts: list[str], kind: str) -> Vectors:
    """As Cohere's clients request vectors, and say whether a text is a query."""
    body = {"model": model, "texts": texts, "input_type": kind, "embedding_types": ["float"]}
    answer = httpx.post(f"{service}/v2/embed", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return normalise(np.array(answer.json()["embeddings"]["float"], np.float32))


def ndcg(queries: Vectors, documents: Vectors) -> float:
    """nDCG@10 with one relevant document a query."""
    scores = queries @ documents.T
    own = np.fromiter(QUERIES, int)
    ranks = (scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1)
    return float(np.where(ranks < 10, 1 / np.log2(ranks + 2.0), 0.0).mean())


def evaluate(models: Path, data: Path, folder: Path, *options: str) -> tuple[int, str]:
    arguments = [str(data), "--models", str(models), "--cache", str(folder / "cache"), *options]
    done = CliRunner().invoke(cli, ["evaluate", *arguments, "--forms", "float", "--json", "-"])
    return done.exit_code, done.stdout or str(done.exception)


def test_new_queries_on_old_documents_are_measured_as_the_service_embeds_them(
    bridged_static: Path, serve: Serve, tmp_path: Path
) -> None:
    data, service = write_data(tmp_path / "data"), serve(bridged_static)
    code, output = evaluate(
        bridged_static, data, tmp_path, "--encoder", "glove", "--queries-encoder", "wordllama.as.glove"
    )
    assert code == 0, output
    rows = {row["encoder"]: row for row in json.loads(output) if row["dim"] == 50}
    assert set(rows) == {"glove", "glove, queries by wordllama.as.glove"}
    documents = by_service(service, "glove", list(TEXTS), "search_document")
    for name, encoder in (("glove", "glove"), ("glove, queries by wordllama.as.glove", "wordllama.as.glove")):
        queries = by_service(service, encoder, list(QUERIES.values()), "search_query")
        assert rows[name]["ndcg@10"] == pytest.approx(ndcg(queries, documents), abs=0.01)
    old, new = rows["glove"], rows["glove, queries by wordllama.as.glove"]
    assert old["kept"] == 1
    assert new["kept"] == pytest.approx(new["ndcg@10"] / old["ndcg@10"])
    assert new["ndcg@10"] > 0.1
    assert new["ndcg@10"] != old["ndcg@10"]


def test_queries_of_another_space_are_refused(bridged_static: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    code, output = evaluate(
        bridged_static, data, tmp_path, "--encoder", "glove", "--queries-encoder", "wordllama"
    )
    assert code != 0
    assert "different spaces cannot be compared" in output
    assert "--queries-encoder wordllama.as.glove" in output
