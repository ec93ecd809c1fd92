"""A folder that says which model it is, and is another, is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sentence_transformers.models import Dense, LayerNorm, Pooling

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.checkpoints.checkpoint import read_checkpoint
from nestvec_schemas.errors import CheckpointUnsupported

Write = Callable[..., Path]


def declare(folder: Path, model_type: str) -> Path:
    path = folder / "config_sentence_transformers.json"
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**content, "model_type": model_type}))
    return folder


def test_a_cross_encoder_of_modules_is_not_exported_as_a_dense_encoder(sentence_bert: Write) -> None:
    folder = declare(sentence_bert(Pooling(32), Dense(32, 32), LayerNorm(32), Dense(32, 1)), "CrossEncoder")
    assert read_checkpoint(str(folder)).architecture == "cross"


@pytest.mark.parametrize("model_type", ["MultiVectorEncoder", "TimeSeriesEncoder"])
def test_other_types_than_the_files_are_refused_by_name(
    model_type: str, sentence_bert: Write, tmp_path: Path
) -> None:
    folder = declare(sentence_bert(Pooling(32)), model_type)
    with pytest.raises(CheckpointUnsupported, match=rf"{model_type}|module.*: Pooling"):
        export(ExportOptions(str(folder), tmp_path / "models", "encoder"))


def test_types_that_the_files_are_pass(sentence_bert: Write, write_checkpoint: Write) -> None:
    read_checkpoint(str(declare(sentence_bert(Pooling(32)), "SentenceTransformer")))
    cross = write_checkpoint("Bert", head="ForSequenceClassification", num_labels=1)
    assert read_checkpoint(str(declare(cross, "CrossEncoder"))).architecture == "cross"
