"""Sparse encoders of every layout, against sentence-transformers' SparseEncoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import Router, SparseStaticEmbedding, SpladePooling

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
from nestvec_exporters.graph.vocabulary import TERM_WEIGHTINGS
from nestvec_exporters.options import Overrides
from nestvec_exporters.probes.texts import text_rows
from nestvec_schemas.errors import CheckpointUnsupported, DimNotOffered
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import pad_rows
from nestvec_schemas.repository import GRAPH, TOKENIZER, part_folder

Write = Callable[..., Path]

TEXTS = ["heat behind a shock wave", "a cat", "bread rises because yeast gives off carbon dioxide"]


@pytest.fixture
def masked(write_checkpoint: Write) -> Path:
    """A masked language model of 200 words in transformers' layout."""
    return write_checkpoint("Bert", head="ForMaskedLM")


def table_of(model: SparseEncoder) -> SparseStaticEmbedding:
    """A weight for each word of the tokenizer, which has fewer than the model."""
    torch.manual_seed(1)
    words = len(model.tokenizer.get_vocab())
    assert words < 200
    return SparseStaticEmbedding(tokenizer=model.tokenizer, weight=torch.rand(words))


def saved(masked: Path, folder: Path, *, routed: bool = False, **pooling: str) -> Path:
    """The same as a SparseEncoder; ``routed``: its queries are read by a table of weights."""
    model = SparseEncoder(str(masked), device="cpu")
    modules: list[Any] = [model[0], SpladePooling(**pooling)]  # type: ignore[arg-type]
    if routed:
        table = table_of(model)
        modules = [Router.for_query_document(query_modules=[table], document_modules=modules)]
    SparseEncoder(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


def exported(checkpoint: Path, models: Path, pooling: str | None = None, **options: Any) -> Manifest:
    given = ExportOptions(str(checkpoint), models, "tiny", overrides=Overrides(pooling=pooling), **options)
    return export(given)


def weights(folder: Path, part: str = "") -> Any:
    """What a part gives for all texts in one batch, so that padding would show."""
    session = onnxruntime.InferenceSession(str(part_folder(folder, part) / GRAPH))
    own = part_folder(folder, part)
    arrays = pad_rows(text_rows(own if (own / TOKENIZER).is_file() else folder, TEXTS, 64))
    return session.run(None, {one.name: arrays[one.name] for one in session.get_inputs()})[0]


@pytest.mark.parametrize(
    ("activation", "strategy", "name"),
    [
        ("relu", "max", "splade"),
        ("relu", "sum", "splade_sum"),
        ("log1p_relu", "max", "splade_log"),
        ("log1p_relu", "sum", "splade_log_sum"),
    ],
)
def test_a_sparse_encoder_gives_its_own_weights(
    masked: Path, tmp_path: Path, activation: str, strategy: str, name: str
) -> None:
    folder = saved(masked, tmp_path / "st", activation_function=activation, pooling_strategy=strategy)
    manifest = exported(folder, tmp_path / "models")
    assert (manifest.kind, manifest.dim, manifest.dims, manifest.layers) == ("sparse", 200, (200,), (2,))
    assert manifest.towers["text"].pooling == name
    assert manifest.verification.cosine_min > 0.9999
    own = SparseEncoder(str(folder), device="cpu").encode(TEXTS, convert_to_sparse_tensor=False)
    found = weights(tmp_path / "models" / "tiny")
    np.testing.assert_allclose(found, np.asarray(own), atol=1e-4)
    assert 0 < (found > 0).mean() < 1


def test_a_masked_language_model_says_by_its_name_that_it_is_sparse(masked: Path, tmp_path: Path) -> None:
    named = Path(shutil.copytree(masked, tmp_path / "Splade-v9"))
    manifest = exported(named, tmp_path / "models")
    assert (manifest.kind, manifest.towers["text"].pooling) == ("sparse", "splade")


def test_another_is_refused_until_it_is_told_what_it_is(masked: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    with pytest.raises(CheckpointUnsupported, match=r"does not say how.*--pooling splade.*--pooling mean"):
        exported(masked, models)
    with pytest.raises(CheckpointUnsupported, match=r"unknown weighting.*: spalde.*'splade'"):
        exported(masked, models, "spalde")
    assert exported(masked, models, "mean").kind == "dense"
    assert exported(masked, models, "splade", force=True).kind == "sparse"


def test_a_weighing_that_is_not_the_checkpoints_own(masked: Path, tmp_path: Path) -> None:
    manifest = exported(saved(masked, tmp_path / "st"), tmp_path / "models", "vdr")
    assert manifest.towers["text"].pooling == "vdr"
    logits = SparseEncoder(str(masked), device="cpu")
    with torch.no_grad():
        features = logits[0](logits.preprocess(TEXTS[:1]))
    largest = features["token_embeddings"].amax(dim=1)[0].numpy()
    expected = np.where(largest > 0, largest + 1, np.exp(largest))
    np.testing.assert_allclose(weights(tmp_path / "models" / "tiny")[0], expected, rtol=1e-3, atol=1e-4)
    assert TERM_WEIGHTINGS["vdr"].top == 768  # more than there are words here


def test_queries_that_no_model_reads_are_an_expert(masked: Path, tmp_path: Path) -> None:
    folder = saved(masked, tmp_path / "st", routed=True)
    manifest = exported(folder, tmp_path / "models")
    assert manifest.experts == {"query": "st"}
    assert {"1/model.onnx", "@query/1/model.onnx", "tokenizer.json"} <= set(manifest.files)
    model = SparseEncoder(str(folder), device="cpu")
    queries = model.encode_query(TEXTS, convert_to_sparse_tensor=False)
    documents = model.encode_document(TEXTS, convert_to_sparse_tensor=False)
    at = tmp_path / "models" / "tiny"
    expected = np.pad(np.asarray(queries), ((0, 0), (0, 200 - queries[0].shape[0])))
    np.testing.assert_allclose(weights(at, "query"), expected, atol=1e-6)
    np.testing.assert_allclose(weights(at), np.asarray(documents), atol=1e-4)


def test_a_table_of_weights_alone(masked: Path, tmp_path: Path) -> None:
    table = table_of(SparseEncoder(str(masked), device="cpu"))
    model = SparseEncoder(modules=[table], device="cpu")
    model.save(str(tmp_path / "st"), create_model_card=False)
    manifest = exported(tmp_path / "st", tmp_path / "models")
    assert (manifest.dim, manifest.towers["text"].pooling) == (table.num_dimensions, "idf")
    own = model.encode(TEXTS, convert_to_sparse_tensor=False)
    np.testing.assert_allclose(weights(tmp_path / "models" / "tiny"), np.asarray(own), atol=1e-6)


def foreign(folder: Path) -> None:
    rows = json.loads((folder / "modules.json").read_text())
    rows[1]["type"] = "custom_pooling.Pooling"
    (folder / "modules.json").write_text(json.dumps(rows))


def autoencoder(folder: Path) -> None:
    rows = json.loads((folder / "modules.json").read_text())
    rows[1]["type"] = "sentence_transformers.sparse_encoder.modules.SparseAutoEncoder"
    (folder / "modules.json").write_text(json.dumps(rows))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def alone(folder: Path) -> None:
    rows = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(rows[:1]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (foreign, "module with its own code.*custom_pooling"),
        (autoencoder, "the export would not honour"),
        (pickled, "pickled weights can run code"),
        (alone, "1_SpladePooling/config.json"),
    ],
)
def test_what_is_refused(masked: Path, tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    folder = saved(masked, tmp_path / "st")
    damage(folder)
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(folder, tmp_path / "models")
    assert not (tmp_path / "models" / "tiny").exists()


def test_there_are_no_prefixes(masked: Path, tmp_path: Path) -> None:
    with pytest.raises(DimNotOffered, match="each of a sparse encoder's dims is a word"):
        exported(masked, tmp_path / "models", "splade", dims=(64,))


def test_a_dense_encoder_whose_transformer_has_the_head_is_dense(masked: Path, tmp_path: Path) -> None:
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    modules.append(
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    )
    (masked / "modules.json").write_text(json.dumps(modules))
    assert read_checkpoint(str(masked)).architecture == "sentence"
