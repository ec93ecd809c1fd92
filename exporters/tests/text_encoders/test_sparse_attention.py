from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from encoder_classes import CLASSES, POSITIONS

from nestvec_exporters import ExportOptions, export
from nestvec_schemas.errors import CheckpointUnsupported

Write = Callable[..., Path]

CLASSIFIER: dict[str, Any] = {"head": "ForSequenceClassification", "num_labels": 1}


def test_blocks_are_refused_in_rerankers_too(write_checkpoint: Write, tmp_path: Path) -> None:
    shape = {"block_size": 4, "num_random_blocks": 1, "max_position_embeddings": POSITIONS}
    folder = write_checkpoint("BigBird", **shape, **CLASSIFIER)
    with pytest.raises(CheckpointUnsupported, match=r"in blocks beyond 28 tokens.*--max-tokens 28"):
        export(ExportOptions(str(folder), tmp_path / "models", "tiny"))


def test_global_attention_of_a_classifier_is_refused(write_checkpoint: Write, tmp_path: Path) -> None:
    fields = {"max_position_embeddings": POSITIONS, **CLASSES["longformer"].fields, **CLASSIFIER}
    folder = write_checkpoint("Longformer", **fields)
    with pytest.raises(CheckpointUnsupported, match=r"Longformer.*global attention"):
        export(ExportOptions(str(folder), tmp_path / "models", "tiny"))
