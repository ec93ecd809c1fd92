"""Coefficients found by gradient: what is found is what a merge of the expression gives."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer

from nestvec_exporters.merge import CoefficientFit, Merge, merge_checkpoints, parse_expression
from nestvec_exporters.merge.coefficients import FittedMerge, _by_block, _MergedModel, fit_coefficients
from nestvec_exporters.train import TrainingData
from nestvec_exporters.training_data import prepare_texts
from nestvec_schemas.errors import CheckpointUnsupported, TrainingDataUnusable, TrainingFailed

WEIGHTS = "model.safetensors"
RANDOM = np.random.default_rng(0)
WORDS = ["".join(RANDOM.choice(list("abcdefgh"), 4)) for _ in range(400)]
ROWS = tuple(zip(WORDS, (f"{one} {two}" for one, two in pairwise(WORDS)), strict=False))[:230]
PAIRS = TrainingData("pairs.jsonl", "pairs", ROWS)
HOW = CoefficientFit(PAIRS, steps=4, batch=16)


def noisy(base: Path, folder: Path, seed: int) -> str:
    shutil.copytree(base, folder)
    draw = np.random.default_rng(seed)
    weights = load_file(folder / WEIGHTS)
    moved = {
        name: (one + draw.normal(0, 0.05, one.shape)).astype(np.float32) for name, one in weights.items()
    }
    save_file(moved, folder / WEIGHTS, metadata={"format": "pt"})
    return str(folder)


@pytest.fixture(scope="module")
def names(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The BERT as ``base``, and two copies with noise, one of a name that has what is a sign elsewhere."""
    work = tmp_path_factory.mktemp("fitting")
    return {"base": str(bert), "A": noisy(bert, work / "A", 1), "b-2": noisy(bert, work / "B", 2)}


@pytest.fixture(scope="module")
def found(names: dict[str, str]) -> FittedMerge:
    return fit_coefficients(Merge("base+0.5*A+0.2*'b-2'", names), HOW)


def test_the_expression_is_one_and_says_what_was_measured(found: FittedMerge, names: dict[str, str]) -> None:
    terms = parse_expression(found.expression).terms
    assert [one.name for one in terms] == ["A", "b-2"]
    assert all(len(one.coefficients.layers) == 2 for one in terms)
    moved = [abs(one.coefficients.layers[0] - was) for one, was in zip(terms, (0.5, 0.2), strict=True)]
    assert all(0.001 < one < 0.2 for one in moved)
    # Where one search ended another begins, with the same figure.
    again = fit_coefficients(Merge(found.expression, names), replace(HOW, steps=1))
    assert again.before == pytest.approx(found.after)
    assert 0 < found.before <= 1 and found.held_out >= 50
    assert found.expression in str(found)


def test_the_same_seed_finds_the_same(found: FittedMerge, names: dict[str, str]) -> None:
    asked = Merge("base+0.5*A+0.2*'b-2'", names)
    assert fit_coefficients(asked, HOW) == found
    assert fit_coefficients(asked, replace(HOW, seed=1)).expression != found.expression


@pytest.mark.parametrize("expression", ["base+[0.1|0.7,-0.4|0.3]*A-0.2*'b-2'", "base+A"])
def test_the_vectors_are_those_of_the_merge(names: dict[str, str], tmp_path: Path, expression: str) -> None:
    held = {name: names[name] for name in names if name in expression}
    weights, data = _MergedModel(Merge(expression, held)), prepare_texts(PAIRS, 0)
    with torch.no_grad():
        mine = weights.embed(data, np.arange(6), weights.merged(weights.start)).numpy()
    model = SentenceTransformer(str(merge_checkpoints(expression, tmp_path / "m", held)), device="cpu")
    texts = [data.texts[at].text for at in range(6)]
    np.testing.assert_allclose(mine, model.encode(texts, normalize_embeddings=True), atol=1e-5)


def test_blocks_are_before_each_layer_and_after() -> None:
    (term,) = parse_expression("base+[0.1|0.2,0.3|0.4]*A").terms
    assert _by_block(term.coefficients, 2) == [0.1, 0.2, 0.3, 0.4]
    (term,) = parse_expression("base-0.5*A").terms
    assert _by_block(term.coefficients, 2) == [-0.5] * 4
    assert _by_block(term.coefficients, 0) == [-0.5]


def test_texts_are_paired_with_a_piece_of_them(names: dict[str, str]) -> None:
    texts = TrainingData("texts.txt", "texts", tuple((f"{one} {two}. {two} {one}",) for one, two in ROWS))
    assert (
        fit_coefficients(
            Merge("base+0.5*A", {key: names[key] for key in ("base", "A")}), CoefficientFit(texts, steps=1)
        ).held_out
        >= 50
    )


def test_what_cannot_be_fitted_on(names: dict[str, str]) -> None:
    with pytest.raises(TrainingDataUnusable, match=r"pairs or texts only: triplets"):
        CoefficientFit(TrainingData("t", "triplets", (("a", "b", "c"),)))
    with pytest.raises(TrainingDataUnusable, match=r"pairs or texts only: scores"):
        CoefficientFit(TrainingData("t", "pairs", (("a", "b"),), (0.5,)))
    with pytest.raises(TrainingDataUnusable, match="too few distinct pairs"):
        fit_coefficients(
            Merge("base+A", {key: names[key] for key in ("base", "A")}),
            CoefficientFit(replace(PAIRS, rows=ROWS[:9])),
        )
    with pytest.raises(CheckpointUnsupported, match="has 2 layers"):
        fit_coefficients(Merge("base+[1,2,3]*A", {key: names[key] for key in ("base", "A")}), HOW)


def test_coefficients_beyond_all_numbers_are_an_error(names: dict[str, str]) -> None:
    with pytest.raises(TrainingFailed, match="no longer finite"):
        fit_coefficients(Merge("base+1e38*A", {key: names[key] for key in ("base", "A")}), HOW)


def test_an_export_says_how_it_was_fitted() -> None:
    words = Merge("base+A", {}, HOW).cli_args()
    assert words[-4:] == ("--fit", "pairs.jsonl", "--fit-steps", "4")
