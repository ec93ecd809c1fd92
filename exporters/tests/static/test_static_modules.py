"""StaticEmbedding with modules behind it, against ``SentenceTransformer.encode``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import (
    LayerNorm,
    Normalize,
    Pooling,
    StaticEmbedding,
)
from tokenizers import Tokenizer
from torch import nn

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.vectors import cosines

TEXTS = ("heat", "flow of heat, in a plate.", "!?", "a " * 90, "Ünïcode (x); [SEP]")


def saved(bert: Path, folder: Path, *head: nn.Module, limit: int | None = None) -> Path:
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    torch.manual_seed(4)
    first = StaticEmbedding(tokenizer, embedding_weights=torch.randn(tokenizer.get_vocab_size(), 32))
    if limit is not None:
        first.tokenizer.enable_truncation(limit)
    model = SentenceTransformer(modules=[first, *head], device="cpu", prompts={"query": "q: "})
    model.save(str(folder), create_model_card=False)
    return folder


def exported(folder: Path, models: Path) -> Manifest:
    return export(ExportOptions(str(folder), models, "static", verify="quick"))


def check(folder: Path, models: Path, manifest: Manifest) -> None:
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    encode: Any = model.encode
    rows = text_rows(models / "static", TEXTS, manifest.main_tower.max_tokens)
    outputs = np.stack(compare.run_graph(models / "static" / GRAPH, rows))
    assert cosines(np.asarray(encode(list(TEXTS))), outputs).min() > 0.9999


def dense(into: int, activation: nn.Module, *, residual: bool = False) -> Dense:
    torch.manual_seed(into)
    return Dense(32, into, activation_function=activation, use_residual=residual)


@pytest.mark.parametrize(
    "head",
    [
        [lambda: dense(16, nn.Tanh())],
        [lambda: dense(24, nn.Identity(), residual=True), Normalize],
        [lambda: LayerNorm(32), lambda: dense(8, nn.GELU()), Normalize],
    ],
)
def test_modules_behind_a_table(bert: Path, tmp_path: Path, head: list[Callable[[], nn.Module]]) -> None:
    folder = saved(bert, tmp_path / "static", *(make() for make in head))
    manifest = exported(folder, tmp_path / "models")
    assert manifest.normalised == (head[-1] is Normalize)
    assert manifest.prompts == {"query": "q: "}
    check(folder, tmp_path / "models", manifest)


@pytest.mark.parametrize("head", [(), (Normalize,), (LayerNorm, Normalize)])
def test_the_tokenizers_own_limit(bert: Path, tmp_path: Path, head: tuple[Any, ...]) -> None:
    modules = [module(32) if module is LayerNorm else module() for module in head]
    folder = saved(bert, tmp_path / "static", *modules, limit=20)
    manifest = exported(folder, tmp_path / "models")
    assert manifest.main_tower.max_tokens == 20
    check(folder, tmp_path / "models", manifest)


def test_a_pooling_behind_a_table_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = saved(bert, tmp_path / "static", Pooling(32, "mean"))
    with pytest.raises(CheckpointUnsupported, match="after the static embedding cannot be exported: Pooling"):
        exported(folder, tmp_path / "models")
