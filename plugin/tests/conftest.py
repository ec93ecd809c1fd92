"""Encoders without weights: a real tokenizer and manifest, for tests around the engine."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from nestvec.datasets.beir import Dataset, open_dataset
from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.manifest import Manifest, Verification, dim_ladder
from nestvec_schemas.repository import MANIFEST, TOKENIZER
from nestvec_schemas.towers import Tower

MAX_TOKENS = 8
DIM = 16

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_log_handlers() -> Iterator[None]:
    """What a test adds to the handlers of the root logger does not stay there for the next."""
    before = [(handler, handler.formatter, list(handler.filters)) for handler in logging.getLogger().handlers]
    yield
    for handler, formatter, filters in before:
        handler.formatter, handler.filters = formatter, filters


def _tokenizer() -> Tokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(1000))]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _write(models: Path, name: str = "tiny", **fields: object) -> Path:
    folder = models / name
    folder.mkdir(parents=True)
    tower = Tower(
        inputs=("input_ids", "attention_mask"),
        output="sentence_embedding",
        pooling="mean",
        max_tokens=MAX_TOKENS,
    )
    manifest = Manifest(
        name=name,
        source="tests/tiny",
        towers={"text": tower},
        dim=DIM,
        dims=dim_ladder(DIM, (8, 4)),
        layers=(4, 2),
        normalised=True,
        prompts={"query": "w1 ", "document": ""},
        precision="fp32",
        verification=Verification(sentences=1, cosine_min=1.0, cosine_mean=1.0),
        files={},
        created_with={},
    ).model_copy(update=fields)
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    _tokenizer().save(str(folder / TOKENIZER))
    return folder


@pytest.fixture(scope="session")
def write_into() -> Write:
    """Writes an encoder's folder: models, name, manifest fields to replace."""
    return _write


@pytest.fixture
def write_encoder(tmp_path: Path) -> Write:
    """Writes an encoder's folder into ``tmp_path / "models"``; keywords replace manifest fields."""
    return partial(_write, tmp_path / "models")


@pytest.fixture
def models_folder(write_encoder: Write) -> Path:
    """A model repository with one encoder, ``tiny``: 16 dims, offered at 16, 8 and 4."""
    return write_encoder().parent


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine({"tiny": DIM})


@pytest.fixture
def embedder(models_folder: Path, engine: FakeEngine) -> Embedder:
    return Embedder(open_encoders(models_folder), engine, ServiceSettings())


@dataclass(frozen=True)
class Served:
    """The real service on a free port, with the fake engine behind it."""

    address: str
    embedder: Embedder
    engine: FakeEngine


@pytest.fixture(scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    models = tmp_path_factory.mktemp("served")
    _write(models)
    engine = FakeEngine({"tiny": DIM})
    embedder = Embedder(open_encoders(models), engine, ServiceSettings())
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield Served(address, embedder, engine)


@pytest.fixture
def served(_served: Served) -> Iterator[Served]:
    yield _served
    _served.engine.failure = None
    _served.engine.seconds = 0.0


@pytest.fixture
def service(served: Served) -> str:
    """The base URL of a running service that holds ``tiny``."""
    return served.address


DOCUMENTS = 60
QUERIES = 12

WriteData = Callable[..., Path]


def _write_dataset(folder: Path, **files: str) -> Path:
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
        return _write_dataset(tmp_path / name, **files)

    return write


@pytest.fixture
def dataset(write_data: WriteData) -> Dataset:
    return open_dataset(write_data())
