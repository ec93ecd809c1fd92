from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_tokenizers

from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer, read_tokenizer, within_table
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


def test_added_tokens_that_a_table_has_no_vector_for_are_read_as_text(tmp_path: Path) -> None:
    size = tiny_tokenizers.bert_tokenizer(tmp_path)
    own = read_tokenizer(tmp_path)
    own.add_tokens(["<a>", "<b>"])
    tokenizer = fast_tokenizer(own)
    assert tokenizer.encode("x<a>y <b>").ids.count(size) == 1
    assert within_table(tokenizer, size + 2) is tokenizer
    narrower = within_table(tokenizer, size + 1)
    assert size in narrower.encode("x<a>y").ids
    assert max(narrower.encode("x <b>").ids) < size
    plain = "Heat [SEP] flow, [MASK]"
    assert narrower.encode(plain).ids == tokenizer.encode(plain).ids
