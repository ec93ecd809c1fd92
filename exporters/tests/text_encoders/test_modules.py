from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_vectors import encoder_vectors
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import (
    CNN,
    LSTM,
    BoW,
    LayerNorm,
    Pooling,
    WordWeights,
)

from nestvec_exporters import ExportOptions, export
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.vectors import cosines

Modules = Callable[[], Sequence[Any]]

TEXTS = ["a", "heat", "wing shock heat flow", "gas plate cone jet lift drag " * 4]


def _layer_norm() -> LayerNorm:
    module = LayerNorm(32)
    torch.nn.init.normal_(module.norm.weight)
    torch.nn.init.normal_(module.norm.bias)
    return module


def _tokens(module: Any) -> Any:
    """The module before pooling: on token vectors."""
    module.module_input_name = module.module_output_name = "token_embeddings"
    return module


EXACT: dict[str, tuple[Modules, int, bool]] = {
    "Normalize in the middle": (lambda: [Pooling(32), Normalize(), Dense(32, 16)], 16, False),
    "Normalize twice": (lambda: [Pooling(32), Normalize(), Dense(32, 16), Normalize()], 16, True),
    "LayerNorm": (lambda: [Pooling(32), _layer_norm(), Normalize()], 32, True),
    "Dense without bias": (
        lambda: [Pooling(32), Dense(32, 8, bias=False, activation_function=torch.nn.Identity())],
        8,
        False,
    ),
    "two poolings side by side": (lambda: [Pooling(32, pooling_mode=("cls", "weightedmean"))], 64, False),
}
"""Modules after the transformer, the width of their vectors, and whether these have length 1."""

REFUSED: dict[str, tuple[Modules, str]] = {
    "BoW": (lambda: [BoW(["wing", "heat"], {"wing": 2.0})], "BoW"),
    "CNN": (lambda: [CNN(32, out_channels=8), Pooling(24)], "CNN"),
    "Dense before Pooling": (lambda: [_tokens(Dense(32, 24)), Pooling(24)], "Transformer, Dense, Pooling"),
    "LSTM": (lambda: [LSTM(32, 8), Pooling(16)], "LSTM"),
    "two Poolings": (lambda: [Pooling(32), Pooling(32)], "Transformer, Pooling, Pooling"),
    "WordWeights": (lambda: [WordWeights(["wing"], {"wing": 2.0}), Pooling(32)], "WordWeights"),
}


def _saved(bert: Path, modules: Modules, folder: Path, *, alone: bool = False) -> Path:
    first = [] if alone else [Transformer(str(bert))]
    SentenceTransformer(modules=[*first, *modules()], device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.mark.parametrize("name", EXACT)
def test_modules_after_the_transformer_give_what_the_library_gives(
    name: str, bert: Path, tmp_path: Path
) -> None:
    modules, dim, normalised = EXACT[name]
    folder = _saved(bert, modules, tmp_path / "sentence")
    manifest = export(ExportOptions(str(folder), tmp_path / "models", "tiny", verify="quick"))
    assert (manifest.dim, manifest.normalised) == (dim, normalised)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    given = encoder_vectors(tmp_path / "models" / "tiny", TEXTS, manifest.main_tower.max_tokens)
    assert cosines(given, expected).min() > 0.9999
    lengths = np.linalg.norm(given, axis=1) / np.linalg.norm(expected, axis=1)
    assert np.abs(lengths - 1).max() < 1e-4


@pytest.mark.parametrize("name", REFUSED)
def test_other_modules_are_refused_by_name(name: str, bert: Path, tmp_path: Path) -> None:
    modules, words = REFUSED[name]
    folder = _saved(bert, modules, tmp_path / "sentence", alone=name == "BoW")
    with pytest.raises(CheckpointUnsupported, match=words):
        export(ExportOptions(str(folder), tmp_path / "models", "tiny"))
