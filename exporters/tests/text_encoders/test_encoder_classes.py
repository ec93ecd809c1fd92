from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from encoder_classes import CLASSES, POSITIONS, READ_PADDING, REFUSED, EncoderClass

from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.verify.compare import TOLERANCES
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Precision

Write = Callable[..., Path]
Compare = Callable[..., Any]
ALL: tuple[Precision, ...] = ("fp32", "fp16", "int8-dynamic")
IN_ALL_PRECISIONS = frozenset(
    {"bert", "deberta-v2", "ernie", "longformer", "modernbert", "nomic", "xlm-roberta"}
)
"""One of each kind of attention, and ERNIE, whose embeddings int8's fusion gets wrong."""


def write_class(write_checkpoint: Write, encoder: EncoderClass) -> Path:
    fields = {"max_position_embeddings": POSITIONS, **encoder.fields}
    return write_checkpoint(encoder.kind, **fields)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_gives_what_its_library_gives_at_every_length(
    name: str, write_checkpoint: Write, compare: Compare
) -> None:
    precisions = ALL if name in IN_ALL_PRECISIONS else ALL[:1]
    compared = compare(write_class(write_checkpoint, CLASSES[name]), precisions)
    assert compared.max_tokens > POSITIONS - 4
    for precision, cosine in compared.cosines.items():
        assert cosine >= TOLERANCES[precision].min_cosine


@pytest.mark.parametrize("name", READ_PADDING)
def test_a_class_that_reads_padding_is_refused(name: str, write_checkpoint: Write, compare: Compare) -> None:
    encoder = READ_PADDING[name]
    with pytest.raises(CheckpointUnsupported, match=f"{encoder.kind}Model reads padding"):
        compare(write_class(write_checkpoint, encoder))


@pytest.mark.parametrize("name", REFUSED)
def test_a_class_that_keeps_the_number_of_tokens_is_refused(
    name: str, write_checkpoint: Write, compare: Compare
) -> None:
    encoder, words = REFUSED[name]
    with pytest.raises(CheckpointUnsupported, match=words):
        compare(write_class(write_checkpoint, encoder))


def test_blocks_of_bigbird_are_refused_beyond_the_texts_that_it_reads_fully(
    write_checkpoint: Write, compare: Compare
) -> None:
    shape = {"block_size": 4, "num_random_blocks": 1, "max_position_embeddings": POSITIONS}
    folder = write_checkpoint("BigBird", **shape)
    with pytest.raises(CheckpointUnsupported, match=r"in blocks beyond 28 tokens.*--max-tokens 28"):
        compare(folder)
    assert compare(folder, max_tokens=28).cosines["fp32"] > 0.9999


@pytest.mark.parametrize(("name", "longest"), [("deberta-v2", 1024), ("gte", 300)])
def test_a_length_beyond_the_configured_positions_is_kept_where_nothing_limits_it(
    name: str, longest: int, write_checkpoint: Write, text_tower: Callable[[Path], TowerModel]
) -> None:
    folder = write_class(write_checkpoint, CLASSES[name])
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "model_max_length": longest}))
    config = folder / "config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text("utf-8")), "max_position_embeddings": 64}), "utf-8"
    )
    _with_modules(folder, longest)
    assert text_tower(folder).spec.max_tokens == longest


def _with_modules(folder: Path, longest: int) -> None:
    rows = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "1_Pooling").mkdir()
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))
