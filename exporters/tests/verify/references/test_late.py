from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_graphs import append_operator
from safetensors.torch import load_file, save_file

from nestvec_schemas.errors import VerificationFailed

METADATA = {
    "query_token_id": "[unused0]",
    "doc_token_id": "[unused1]",
    "query_maxlen": 12,
    "doc_maxlen": 40,
    "mask_punctuation": True,
    "attend_to_mask_tokens": False,
    "similarity": "cosine",
    "dim": 16,
}


@pytest.fixture(scope="module")
def late(write_tiny: Any, export_tiny: Any) -> Any:
    """A BERT as colbert-ai saves it."""
    folder = write_tiny("Bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    weights = {f"bert.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    torch.manual_seed(1)
    weights["linear.weight"] = torch.randn(16, config["hidden_size"])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "artifact.metadata").write_text(json.dumps(METADATA))
    return export_tiny(folder)


def test_vectors_are_those_of_multi_vector_encoder(late: Any) -> None:
    verification = late.verify()
    assert verification.reference.endswith("(MultiVectorEncoder)")
    assert set(verification.groups) == {"texts", "characters", "lengths", "batches"}
    assert min(verification.groups.values()) >= 0.9999


def test_a_dropped_marker_is_refused(late: Any, tmp_path: Path) -> None:
    broken = late.copy(tmp_path / "broken")
    broken.edit_manifest(prompts={**late.manifest.prompts, "document": late.manifest.prompts["query"]})
    with pytest.raises(VerificationFailed, match="MultiVectorEncoder"):
        broken.verify(level="quick")


def test_vectors_that_are_not_of_length_1_are_refused(late: Any, tmp_path: Path) -> None:
    broken = late.copy(tmp_path / "broken")
    append_operator(broken.graph(), "Mul", 1.1)
    with pytest.raises(VerificationFailed, match=r"not as long .*MultiVectorEncoder"):
        broken.verify(level="quick")
