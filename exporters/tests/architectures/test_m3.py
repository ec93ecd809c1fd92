"""BGE-M3's layout: three outputs of one graph, against FlagEmbedding's arithmetic on transformers' states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from transformers import AutoModel, AutoTokenizer

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.architectures.m3 import PackedTower
from nestvec_exporters.options import Overrides
from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import CheckpointUnsupported, VerificationFailed
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.packed_outputs import unpack
from nestvec_schemas.repository import GRAPH

Write = Callable[..., Path]

TEXTS = ("heat", "flow of heat, in a plate.", "!?", "a " * 90, "Ünïcode (x); [UNK] [PAD]")
WORDS = 200


@pytest.fixture
def m3(write_checkpoint: Write, tmp_path: Path) -> Path:
    """An XLM-RoBERTa with the modules and the heads of BGE-M3."""
    backbone = write_checkpoint("XLMRoberta", max_position_embeddings=66, pad_token_id=0)
    folder = tmp_path / "bge-m3"
    modules = [Transformer(str(backbone)), Pooling(32, "cls"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    torch.manual_seed(7)
    for name, size in (("sparse_linear", 1), ("colbert_linear", 32)):
        layer = torch.nn.Linear(32, size)
        save_file(dict(layer.state_dict()), folder / f"{name}.safetensors")
    return folder


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "m3", verify="quick", **options))


def flag_embedding(folder: Path, text: str, limit: int) -> tuple[np.ndarray, dict[int, float], np.ndarray]:
    """The dense vector, lexical weights and token vectors of a text, as FlagEmbedding makes them."""
    from safetensors.torch import load_file

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    row = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
    with torch.no_grad():
        states = model(**row).last_hidden_state[0].numpy()
    sparse, colbert = (
        {key: tensor.numpy() for key, tensor in load_file(folder / f"{name}.safetensors").items()}
        for name in ("sparse_linear", "colbert_linear")
    )
    weights = np.maximum(states @ sparse["weight"][0] + sparse["bias"][0], 0)
    unused = {tokenizer.cls_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
    lexical: dict[int, float] = {}
    for token, weight in zip(row["input_ids"][0].tolist(), weights.tolist(), strict=True):
        if token not in unused and weight > 0:
            lexical[token] = max(weight, lexical.get(token, 0.0))
    vectors = states[1:] @ colbert["weight"].T + colbert["bias"]
    dense = states[0] / np.linalg.norm(states[0])
    return dense, lexical, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_three_outputs_of_one_graph(m3: Path, tmp_path: Path) -> None:
    manifest = exported(m3, tmp_path / "models")
    assert (manifest.kind, manifest.dim, manifest.outputs) == (
        "dense",
        32,
        {"sparse": WORDS, "multivector": 32},
    )
    assert manifest.verification.cosine_min > 0.9999
    names = [manifest.output(kind).name for kind in manifest.outputs]
    assert names == ["m3.sparse", "m3.colbert"]
    rows = text_rows(tmp_path / "models" / "m3", TEXTS, manifest.main_tower.max_tokens)
    outputs = compare.run_graph(tmp_path / "models" / "m3" / GRAPH, rows)
    for text, packed in zip(TEXTS, outputs, strict=True):
        dense, lexical, vectors = flag_embedding(m3, text, manifest.main_tower.max_tokens)
        np.testing.assert_allclose(unpack(packed, "dense"), dense, atol=1e-5)
        weights = unpack(packed, "sparse")
        assert weights["index"].tolist() == sorted(lexical)
        np.testing.assert_allclose(weights["value"], [lexical[word] for word in sorted(lexical)], atol=1e-5)
        np.testing.assert_allclose(unpack(packed, "multivector"), vectors, atol=1e-5)


@pytest.mark.parametrize(("column", "kind"), [(-2, "sparse"), (0, "multivector")])
def test_each_output_is_compared(
    m3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: int, kind: str
) -> None:
    own = PackedTower.reference

    def turned(self: PackedTower, inputs: Sequence[str], max_tokens: int) -> list[np.ndarray]:
        """Other weights of words, or other vectors of tokens, of the second half of a text."""
        arrays = own(self, inputs, max_tokens)
        for array in arrays:
            array[1 + len(array) // 2 :, column] += 1
        return arrays

    monkeypatch.setattr(PackedTower, "reference", turned)
    with pytest.raises(VerificationFailed, match=rf"\({kind}\)"):
        exported(m3, tmp_path / "models")


def pickled(folder: Path) -> None:
    for name in ("sparse_linear", "colbert_linear"):
        (folder / f"{name}.safetensors").unlink()
        torch.save({}, folder / f"{name}.pt")


def alone(folder: Path) -> None:
    (folder / "colbert_linear.safetensors").unlink()


def narrow(folder: Path) -> None:
    save_file(dict(torch.nn.Linear(16, 1).state_dict()), folder / "sparse_linear.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            pickled,
            r"pickles.*sparse_linear.pt, colbert_linear.pt.*weights_only=True.*--ignore sparse_linear.pt",
        ),
        (alone, "one of two heads.*colbert_linear.safetensors is missing"),
        (narrow, "do not fit its 32 dims"),
    ],
)
def test_heads_are_never_dropped_silently(
    m3: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(m3)
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(m3, tmp_path / "models")


def test_dense_vectors_alone_on_request(m3: Path, tmp_path: Path) -> None:
    pickled(m3)
    manifest = exported(m3, tmp_path / "models", ignore=("sparse_linear.pt", "colbert_linear.pt"))
    assert (manifest.kind, manifest.outputs) == ("dense", {})


def test_options_of_dense_vectors_are_refused(m3: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnsupported, match=r"--pooling.*--ignore sparse_linear\.safetensors"):
        exported(m3, tmp_path / "models", overrides=Overrides(pooling="cls"))
