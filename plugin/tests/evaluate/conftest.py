"""A small dataset on disk, and vectors for it without an encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nestvec.datasets.beir import Dataset, open_dataset
from nestvec.evaluate.encode import Encoded
from nestvec.evaluate.measuring import Side, VectorSource
from nestvec.evaluate.subject import EncoderVariant, RequestedSizes, choose_variants
from nestvec_schemas.vectors import Vectors, normalise

DOCUMENTS = 60
QUERIES = 12
DIM = 16

WriteData = Callable[..., Path]


def _write(folder: Path, **files: str) -> Path:
    """A dataset of ``DOCUMENTS`` documents; a keyword replaces a file's whole content."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = [{"_id": f"d{n}", "title": f"w{n}", "text": f"w{n + 1} w{n % 7}"} for n in range(DOCUMENTS)]
    queries = [{"_id": f"q{n}", "text": f"w{n * 5} w{n * 5 + 1}"} for n in range(QUERIES + 2)]
    judged = ["query-id\tcorpus-id\tscore"]
    judged += [f"q{n}\td{n * 5 + at}\t{2 - at}" for n in range(QUERIES) for at in range(3)]
    content = {
        "corpus": "\n".join(map(json.dumps, corpus)),
        "queries": "\n".join(map(json.dumps, queries)),
        "qrels": "\n".join(judged),
    } | files
    for name, path in (("corpus", "corpus.jsonl"), ("queries", "queries.jsonl"), ("qrels", "qrels/test.tsv")):
        (folder / path).write_text(content[name], encoding="utf-8")
    return folder


@pytest.fixture
def write_data(tmp_path: Path) -> WriteData:
    """Writes a dataset's folder; keywords ``corpus``, ``queries`` and ``qrels`` replace a file."""

    def write(name: str = "small", **files: str) -> Path:
        return _write(tmp_path / name, **files)

    return write


@pytest.fixture
def dataset(write_data: WriteData) -> Dataset:
    return open_dataset(write_data())


@dataclass(frozen=True)
class Fake:
    """A subject with exits 4 and 2 and a rotation, and its vectors: shallow ones are noisier."""

    subject: EncoderVariant
    source: VectorSource
    plain: Vectors


@pytest.fixture
def fake(dataset: Dataset, write_encoder: Callable[..., Path]) -> Fake:
    folder = write_encoder(layers=(4, 2))
    random = np.random.default_rng(5)
    rotation = np.linalg.qr(random.standard_normal((DIM, DIM)))[0].astype(np.float32)
    np.save(folder / "rotation.npy", rotation)
    (subject,) = choose_variants(folder.parent, ["tiny"], (), RequestedSizes())
    documents = normalise(random.standard_normal((DOCUMENTS, DIM)).astype(np.float32))
    queries = normalise(documents[: QUERIES * 5 : 5] + 0.2 * random.standard_normal((QUERIES, DIM)))
    noise = {exit: random.standard_normal((DOCUMENTS, DIM)) * (4 - exit) * 0.2 for exit in (4, 2)}

    def source(side: Side, exit: int) -> Encoded:
        vectors = documents if side == "document" else queries
        moved = normalise((vectors + noise[exit][: len(vectors)]).astype(np.float32))
        return Encoded(moved @ rotation, exit / 1000)

    return Fake(subject, source, documents)
