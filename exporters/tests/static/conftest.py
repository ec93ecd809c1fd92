"""Tiny tables in every layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = [
    "the",
    "of",
    "heat",
    "flow",
    "shock",
    "wave",
    "bank",
    "river",
    "money",
    "n't",
    "'s",
    "0.5",
    "...",
    ".",
]
WORDS += [",", "file", "rows", "from", "a", "in"]

Rows = Mapping[str, np.ndarray]


@pytest.fixture
def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {word: rng.normal(size=8).astype(np.float32) for word in WORDS}


@pytest.fixture
def text_file(tmp_path: Path) -> Callable[..., Path]:
    return partial(_write_text, tmp_path)


@pytest.fixture
def binary_file(tmp_path: Path) -> Callable[..., Path]:
    return partial(_write_binary, tmp_path / "words.bin")


def _write_text(folder: Path, rows: Rows, header: str = "", name: str = "words.txt") -> Path:
    path = folder / name
    lines = [f"{word} {' '.join(map(repr, map(float, row)))}\n" for word, row in rows.items()]
    path.write_text(header + "".join(lines), "utf-8")
    return path


def _write_binary(path: Path, rows: Rows, *, newlines: bool = True) -> Path:
    dim = len(next(iter(rows.values())))
    parts = [
        word.encode() + b" " + row.astype("<f4").tobytes() + b"\n" * newlines for word, row in rows.items()
    ]
    path.write_bytes(f"{len(rows)} {dim}\n".encode() + b"".join(parts))
    return path


def _tokenizer() -> Tokenizer:
    """A tokenizer that knows WORDS, and adds what a static encoder must not see."""
    vocabulary = {word: number for number, word in enumerate(["[UNK]", "[CLS]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    return tokenizer


@pytest.fixture
def model2vec(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder as Model2Vec does."""

    def write(vectors: np.ndarray, config: Mapping[str, Any] | None = None, **tensors: np.ndarray) -> Path:
        folder = tmp_path / "model2vec"
        folder.mkdir(exist_ok=True)
        save_file({"embeddings": vectors, **tensors}, folder / "model.safetensors")
        _tokenizer().save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", **(config or {})}))
        kinds = ["StaticEmbedding", *(["Normalize"] if (config or {}).get("normalize") else [])]
        package = "sentence_transformers.models"
        modules = [
            {"idx": at, "name": str(at), "path": f"{at}_Normalize" if at else "", "type": f"{package}.{kind}"}
            for at, kind in enumerate(kinds)
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        return folder

    return write
