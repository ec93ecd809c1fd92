"""Sparse autoencoders and weightings that keep the largest weights, against ``SparseEncoder``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Dense, Router, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Normalize, Pooling
from sentence_transformers.sparse_encoder.modules import MLMTransformer, SparseAutoEncoder, SpladePooling
from torch import nn

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.towers import CODES_POOLING

Write = Callable[..., Path]

UNITS = 96
TEXTS = ("heat", "flow of heat, in a plate.", "!?", "a " * 90, "Ünïcode (x)")


def auto_encoder(active: int = 8, *, normalize: bool = False) -> SparseAutoEncoder:
    torch.manual_seed(3)
    module = SparseAutoEncoder(32, UNITS, active, k_aux=16, normalize=normalize)
    nn.init.normal_(module.pre_bias)
    nn.init.normal_(module.latent_bias)
    return module


def saved(folder: Path, *modules: nn.Module, **settings: Any) -> Path:
    SparseEncoder(modules=list(modules), device="cpu", **settings).save(str(folder), create_model_card=False)
    return folder


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "sparse", verify="quick", **options))


def rows_of(models: Path, manifest: Manifest) -> np.ndarray:
    rows = text_rows(models / "sparse", TEXTS, manifest.main_tower.max_tokens)
    return np.stack(compare.run_graph(models / "sparse" / GRAPH, rows))


def library(folder: Path) -> np.ndarray:
    model: Any = SparseEncoder(str(folder), device="cpu", local_files_only=True)
    return np.asarray(model.encode_document(list(TEXTS), convert_to_sparse_tensor=False))


@pytest.mark.parametrize("normalize", [False, True])
def test_codes_are_the_librarys(bert: Path, tmp_path: Path, *, normalize: bool) -> None:
    modules = [Transformer(str(bert)), Pooling(32, "mean"), auto_encoder(normalize=normalize)]
    folder = saved(tmp_path / "csr", *modules)
    manifest = exported(folder, tmp_path / "models")
    assert (manifest.kind, manifest.dim, manifest.main_tower.pooling) == ("sparse", UNITS, CODES_POOLING)
    codes, expected = rows_of(tmp_path / "models", manifest), library(folder)
    assert ((codes != 0) == (expected != 0)).all()
    assert (codes != 0).sum(axis=1).max() <= 8
    np.testing.assert_allclose(codes, expected, atol=1e-4)


def test_modules_before_the_autoencoder(bert: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    head = [LayerNorm(32), Dense(32, 32, activation_function=nn.GELU()), Normalize()]
    folder = saved(
        tmp_path / "csr", Transformer(str(bert)), Pooling(32, "cls"), *head, auto_encoder(), max_active_dims=5
    )
    codes = rows_of(tmp_path / "models", exported(folder, tmp_path / "models"))
    assert (codes != 0).sum(axis=1).max() <= 5
    np.testing.assert_allclose(codes, library(folder), atol=1e-4)


def test_modules_behind_it_are_refused(bert: Path, tmp_path: Path) -> None:
    modules = [Transformer(str(bert)), Pooling(32, "mean"), auto_encoder(), Normalize()]
    with pytest.raises(CheckpointUnsupported, match="modules behind its SparseAutoEncoder"):
        exported(saved(tmp_path / "csr", *modules), tmp_path / "models")


def test_codes_inside_a_router_are_refused(bert: Path, tmp_path: Path) -> None:
    routes = [[Transformer(str(bert)), Pooling(32, "mean"), auto_encoder()] for _ in range(2)]
    router = Router.for_query_document(query_modules=routes[0], document_modules=routes[1])
    with pytest.raises(CheckpointUnsupported, match=r"SparseAutoEncoder, or around it: Router|honour"):
        exported(saved(tmp_path / "csr", router), tmp_path / "models")


@pytest.mark.parametrize("strategy", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_splade_keeps_the_largest_weights(
    write_checkpoint: Write, tmp_path: Path, strategy: Any, activation: Any
) -> None:
    backbone = write_checkpoint("Bert", head="ForMaskedLM")
    pooling = SpladePooling(strategy, activation_function=activation, chunk_size=4)
    folder = saved(tmp_path / "splade", MLMTransformer(str(backbone)), pooling, max_active_dims=7)
    weights = rows_of(tmp_path / "models", exported(folder, tmp_path / "models"))
    assert (weights != 0).sum(axis=1).tolist() == [7] * len(TEXTS)
    np.testing.assert_allclose(weights, library(folder), atol=1e-4)
