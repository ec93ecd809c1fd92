"""The real all-MiniLM-L6-v2 merged with two short fine-tunes of it, and exported like any checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from nestvec.cli import cli
from nestvec_exporters import ExportOptions, Listener, Merge, export
from nestvec_exporters.merge import merged
from nestvec_exporters.verify import exported_vectors
from nestvec_schemas.docstrings import sample_texts
from nestvec_schemas.repository import read_manifest


def vectors(folder: str | Path) -> NDArray[np.float32]:
    texts = list(sample_texts(16))
    return np.asarray(SentenceTransformer(str(folder), device="cpu").encode(texts), np.float32)


def test_the_ends_are_the_checkpoints_and_between_lies_what_is_between(
    names: dict[str, str], tmp_path: Path
) -> None:
    base, a = vectors(names["base"]), vectors(names["A"])
    moved = np.abs(a - base).max()
    assert moved > 1e-3
    np.testing.assert_allclose(vectors(merged("base+0*A", tmp_path / "0", names)), base, atol=1e-6)
    np.testing.assert_allclose(vectors(merged("base+1*A", tmp_path / "1", names)), a, atol=1e-6)
    half = vectors(merged("base+0.5*A", tmp_path / "half", names))
    assert 0.1 * moved < np.abs(half - base).max() < moved


def test_a_merge_of_two_exports_like_any(names: dict[str, str], tmp_path: Path) -> None:
    expression = "base+[0.1,0.2,0.3,0.4,0.5,0.6]*A-0.2*B"
    stages = list[str]()
    manifest = export(
        ExportOptions("", tmp_path / "models", "merged", merge=Merge(expression, names)),
        Listener(stage=stages.append),
    )
    assert "merging the checkpoints" in stages and manifest.source == expression
    assert manifest.dim == 384 and manifest.towers["text"].max_tokens == 256
    assert manifest.verification.cosine_min > 0.99999
    assert [one.name for one in tmp_path.iterdir()] == ["models"]


def test_the_command_merges(names: dict[str, str], tmp_path: Path) -> None:
    models = tmp_path / "models"
    words = ["--merge", "base+0.5*A-0.2*B", "--with", f"A={names['A']}", "--with", f"B={names['B']}"]
    done = CliRunner().invoke(cli, ["export", names["base"], "--to", str(models), *words, "--json"])
    assert done.exit_code == 0, done.output
    manifest = read_manifest(models / "model-merged")
    assert manifest.source == "base+0.5*A-0.2*B"
    folder = merged("base+0.5*A-0.2*B", tmp_path / "merged", names)
    texts = list(sample_texts(16))
    found = exported_vectors(models / "model-merged", texts, manifest.first.max_tokens)
    np.testing.assert_allclose(found, vectors(folder), atol=1e-5)
