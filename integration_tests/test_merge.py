"""The real all-MiniLM-L6-v2 merged with two short fine-tunes of it, and exported like any checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from encoder_vectors import encoder_vectors
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from nestvec.cli import cli
from nestvec_exporters import ExportOptions, Listener, Merge, export
from nestvec_exporters.merge import CoefficientFit, merge_checkpoints, parse_expression
from nestvec_exporters.merge.coefficients import fit_coefficients
from nestvec_exporters.train import TrainingData
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.samples.docstrings import sample_texts


def vectors(folder: str | Path) -> NDArray[np.float32]:
    texts = list(sample_texts(16))
    return np.asarray(SentenceTransformer(str(folder), device="cpu").encode(texts), np.float32)


def test_the_ends_are_the_checkpoints_and_between_lies_what_is_between(
    names: dict[str, str], tmp_path: Path
) -> None:
    base, a = vectors(names["base"]), vectors(names["A"])
    moved = np.abs(a - base).max()
    assert moved > 1e-3
    np.testing.assert_allclose(vectors(merge_checkpoints("base+0*A", tmp_path / "0", names)), base, atol=1e-6)
    np.testing.assert_allclose(vectors(merge_checkpoints("base+1*A", tmp_path / "1", names)), a, atol=1e-6)
    half = vectors(merge_checkpoints("base+0.5*A", tmp_path / "half", names))
    assert 0.1 * moved < np.abs(half - base).max() < moved


def test_a_merge_of_two_exports_like_any(names: dict[str, str], tmp_path: Path) -> None:
    expression = "base+[0.1,0.2,0.3,0.4,0.5,0.6]*A-0.2*B"
    stages = list[str]()
    manifest = export(
        ExportOptions("", tmp_path / "models", "merged", merge=Merge(expression, names), verify="quick"),
        Listener(stage=stages.append),
    )
    assert "merging the checkpoints" in stages and manifest.source == expression
    assert manifest.dim == 384 and manifest.towers["text"].max_tokens == 256
    assert manifest.verification.cosine_min > 0.99999
    assert [one.name for one in tmp_path.iterdir()] == ["models"]


def test_the_command_merges(names: dict[str, str], tmp_path: Path) -> None:
    models = tmp_path / "models"
    words = ["--merge", "base+0.5*A-0.2*B", "--with", f"A={names['A']}", "--with", f"B={names['B']}"]
    done = CliRunner().invoke(
        cli, ["export", names["base"], "--to", str(models), *words, "--verify", "quick", "--json"]
    )
    assert done.exit_code == 0, done.output
    manifest = read_manifest(models / "model-merged")
    assert manifest.source == "base+0.5*A-0.2*B"
    folder = merge_checkpoints("base+0.5*A-0.2*B", tmp_path / "merged", names)
    texts = list(sample_texts(16))
    found = encoder_vectors(models / "model-merged", texts, manifest.main_tower.max_tokens)
    np.testing.assert_allclose(found, vectors(folder), atol=1e-5)


def backwards(text: str) -> str:
    return " ".join(word[::-1] for word in text.split())


@pytest.fixture(scope="module")
def reversed_words() -> list[tuple[str, str]]:
    """Texts asked for by the same with each word's letters in reverse, which MiniLM never was trained on."""
    short = dict.fromkeys(" ".join(text.split()[:5]) for text in sample_texts(450) if len(text.split()) >= 5)
    return [(backwards(text), text) for text in short]


@pytest.fixture(scope="module")
def tuned(
    reversed_words: list[tuple[str, str]], names: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """``A`` is a short fine-tune on half of them; ``B`` moves each weight as far, by chance."""
    work = tmp_path_factory.mktemp("reversed")
    torch.manual_seed(0)
    model = SentenceTransformer(names["base"], device="cpu").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4)
    for step in range(12):
        chosen = np.random.default_rng(step).permutation(len(reversed_words) // 2)[:16]
        sides = ([reversed_words[at][side] for at in chosen] for side in (0, 1))
        found = (model(dict(model.preprocess(texts)))["sentence_embedding"] for texts in sides)
        one, two = (torch.nn.functional.normalize(vectors) for vectors in found)
        torch.nn.functional.cross_entropy(20 * one @ two.T, torch.arange(len(one))).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save(str(work / "A"), create_model_card=False)
    noise = SentenceTransformer(names["base"], device="cpu")
    with torch.no_grad():
        for mine, other in zip(noise.parameters(), model.parameters(), strict=True):
            drawn = torch.randn(mine.shape)
            mine += drawn * (other - mine).norm() / drawn.norm()
    noise.save(str(work / "B"), create_model_card=False)
    return {"base": names["base"], "A": str(work / "A"), "B": str(work / "B")}


def test_fitted_coefficients_tell_what_helps_from_noise(
    reversed_words: list[tuple[str, str]], tuned: dict[str, str]
) -> None:
    data = TrainingData("reversed", "pairs", tuple(reversed_words[len(reversed_words) // 2 :]))
    found = fit_coefficients(Merge("base+0.5*A+0.5*B", tuned), CoefficientFit(data, steps=15, batch=16))
    ours, noise = (np.array(one.coefficients.layers) for one in parse_expression(found.expression).terms)
    assert (ours > 0.6).all()
    assert ours.mean() > noise.mean() + 0.15
    assert found.after > found.before + 0.05


def test_the_command_fits_and_says_what_it_found(
    reversed_words: list[tuple[str, str]], names: dict[str, str], tmp_path: Path
) -> None:
    rows = ({"query": one, "document": two} for one, two in reversed_words[:220])
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["--merge", "base+0.5*A", "--with", f"A={names['A']}", "--fit", str(tmp_path / "pairs.jsonl")]
    words += ["--fit-steps", "1", "--verify", "quick"]
    models = tmp_path / "models"
    done = CliRunner().invoke(cli, ["export", names["base"], "--to", str(models), *words])
    assert done.exit_code == 0, done.output
    source = read_manifest(models / "model-merged").source
    assert source.startswith("base+[0.")
    assert len(parse_expression(source).terms[0].coefficients.layers) == 6
    assert f"--merge '{source}'" in done.output
    bare = CliRunner().invoke(cli, ["export", names["base"], "--fit", str(tmp_path / "pairs.jsonl")])
    assert bare.exit_code == 2 and "--fit needs --merge" in bare.output
