from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from verify_level import VERIFY

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.probes.texts import text_rows
from nestvec_exporters.verify import compare
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.late_interaction import token_arrays
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.vectors import cosines

Write = Callable[..., Path]

DIM = 16
METADATA = {
    "query_token_id": "[unused0]",
    "doc_token_id": "[unused1]",
    "query_maxlen": 12,
    "doc_maxlen": 40,
    "mask_punctuation": True,
    "attend_to_mask_tokens": False,
    "similarity": "cosine",
    "dim": DIM,
}


def colbert(folder: Path, **metadata: object) -> Path:
    """A BERT as colbert-ai saves it."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    weights = {f"bert.{name}": one for name, one in load_file(folder / "model.safetensors").items()}
    torch.manual_seed(1)
    weights["linear.weight"] = torch.randn(DIM, config["hidden_size"])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "artifact.metadata").write_text(json.dumps({**METADATA, **metadata}))
    return folder


def pylate(folder: Path, dense: dict[str, object] | None = None, **settings: object) -> Path:
    """The same as PyLate saves it."""
    kinds = (("", "sentence_transformers.models.Transformer"), ("1_Dense", "pylate.models.Dense.Dense"))
    rows = [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(rows))
    told = {
        "query_prefix": "[unused0]",
        "document_prefix": "[unused1]",
        "query_length": 12,
        "document_length": 40,
        "do_query_expansion": True,
        "attend_to_expansion_tokens": True,
        "skiplist_words": [".", ","],
        **settings,
    }
    (folder / "config_sentence_transformers.json").write_text(json.dumps(told))
    projection = folder / "1_Dense"
    projection.mkdir()
    identity = "torch.nn.modules.linear.Identity"
    config = {"in_features": 32, "out_features": DIM, "bias": False, "activation_function": identity}
    (projection / "config.json").write_text(json.dumps({**config, **(dense or {})}))
    torch.manual_seed(1)
    save_file({"linear.weight": torch.randn(DIM, 32)}, projection / "model.safetensors")
    return folder


def exported(folder: Path, models: Path, **options: Any) -> Manifest:
    return export(ExportOptions(str(folder), models, "late", **options))


def vectors(models: Path, manifest: Manifest, *texts: str) -> list[np.ndarray]:
    tower = manifest.towers["text"]
    ids = text_rows(models / "late", texts, tower.max_tokens)
    rows = [token_arrays(row["input_ids"], tower.interaction) for row in ids]
    return compare.run_graph(models / "late" / GRAPH, rows, unbatched=tower.alone)


def test_a_checkpoint_of_colbert_ai(write_checkpoint: Write, tmp_path: Path) -> None:
    manifest = exported(colbert(write_checkpoint("Bert")), tmp_path / "models")
    tower = manifest.towers["text"]
    assert (manifest.kind, manifest.dim, manifest.dims, tower.pooling) == ("multivector", 16, (16,), "tokens")
    assert tower.inputs == ("input_ids", "attention_mask", "keep")
    assert (tower.max_tokens, manifest.normalised) == (40, True)
    assert manifest.prompts == {"query": "[unused0] ", "document": "[unused1] "}
    assert manifest.verification.cosine_min > 0.9999
    assert tower.interaction is not None
    assert (tower.interaction.query_tokens, tower.interaction.attend) == (12, False)
    assert len(tower.interaction.skip) == len(string.punctuation)
    query, document, plain = vectors(
        tmp_path / "models", manifest, "[unused0]heat?", "[unused1]he, at.", "heat"
    )
    # 12 by its masks; [CLS], the marker, four letters and [SEP] without comma and full stop; as it is.
    assert [len(query), len(document), len(plain)] == [12, 7, 6]
    for one in (query, document, plain):
        np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)


def test_a_checkpoint_of_pylate(write_checkpoint: Write, tmp_path: Path) -> None:
    manifest = exported(pylate(write_checkpoint("Bert")), tmp_path / "models")
    tower = manifest.towers["text"].interaction
    assert tower is not None
    assert (tower.query_tokens, tower.attend, len(tower.skip)) == (12, True, 2)
    assert manifest.verification.cosine_min > 0.9999


def test_queries_that_are_not_filled_up(write_checkpoint: Write, tmp_path: Path) -> None:
    manifest = exported(pylate(write_checkpoint("Bert"), do_query_expansion=False), tmp_path / "models")
    (query,) = vectors(tmp_path / "models", manifest, "[unused0]heat")
    assert len(query) == 7


def test_int8_runs_text_by_text(write_checkpoint: Write, tmp_path: Path) -> None:
    manifest = exported(colbert(write_checkpoint("Bert")), tmp_path / "models", precision="int8-dynamic")
    assert manifest.towers["text"].alone


def test_calibrated_int8_keeps_the_token_vectors_of_each_text(
    write_checkpoint: Write, tmp_path: Path
) -> None:
    manifest = exported(colbert(write_checkpoint("Bert")), tmp_path / "models", precision="int8")
    assert not manifest.towers["text"].alone
    assert manifest.quantisation is not None
    assert (manifest.quantisation.sample, manifest.quantisation.held_out) == ("demo", 64)
    exact = exported(colbert(write_checkpoint("Bert")), tmp_path / "exact", verify=VERIFY)
    (near,), (expected,) = (
        vectors(tmp_path / place, one, "[unused0]heat flow")
        for place, one in (("models", manifest), ("exact", exact))
    )
    assert near.shape == expected.shape
    assert cosines(near, expected).mean() > 0.99


def no_projection(folder: Path) -> Path:
    colbert(folder)
    path = folder / "model.safetensors"
    weights = {name: one for name, one in load_file(path).items() if name != "linear.weight"}
    save_file(weights, path, {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_projection, "no projection of its token vectors: linear.weight is in none"),
        (lambda f: colbert(f, similarity="l2"), "another metric than cosine: l2"),
        (lambda f: colbert(f, query_token_id="[Q]"), r"not one token of the checkpoint's vocabulary: \[Q\]"),
        (
            lambda f: pylate(f, query_prefix=""),
            "vocabulary: no marker. Choose a checkpoint whose query_prefix",
        ),
    ],
)
def test_what_is_not_read(
    write_checkpoint: Write, tmp_path: Path, spoil: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(CheckpointUnsupported, match=message):
        exported(spoil(write_checkpoint("Bert")), tmp_path / "models")
