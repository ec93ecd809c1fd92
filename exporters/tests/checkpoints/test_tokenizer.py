from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_tokenizers

from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer, read_tokenizer
from nestvec_schemas.errors import CheckpointUnsupported


def test_a_class_that_needs_other_packages_falls_back_to_the_file(tmp_path: Path) -> None:
    """SigLIP's tokenizer is sentencepiece's in transformers, and its checkpoints have a tokenizer.json."""
    tiny_tokenizers.siglip_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    path = tmp_path / "tokenizer_config.json"
    told = json.loads(path.read_text())
    expected = read_tokenizer(tmp_path)("A frog.")["input_ids"]
    path.write_text(json.dumps({**told, "tokenizer_class": "SiglipTokenizer"}))
    found = read_tokenizer(tmp_path)
    assert found("A frog.")["input_ids"] == expected
    assert found.pad_token_id == 1
    assert fast_tokenizer(found).encode("A frog.").ids == expected


def test_no_fast_form(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "SiglipTokenizer"}')
    with pytest.raises(CheckpointUnsupported, match="has no fast tokenizer"):
        read_tokenizer(tmp_path)
