"""Maps whose vectors may be compared with those that another encoder has stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from trained import same, stop_after

from nestvec_exporters.checkpoints.checkpoint import TRAINING_RECORD
from nestvec_exporters.train import (
    Adapted,
    AdaptOptions,
    Hyperparameters,
    RunOutput,
    TrainingData,
    TrainingLength,
    adapt,
)
from nestvec_exporters.train.linear.compatible import OldEncoder, aligning_matrix
from nestvec_exporters.training_data import RoleText
from nestvec_schemas.errors import NotOffered, TrainingFailed
from nestvec_schemas.vectors import Vectors, cosines, normalise

DIM = 32
Embed = Callable[[Sequence[str]], Vectors]


def _rotation(dim: int = DIM) -> Vectors:
    return np.asarray(np.linalg.qr(np.random.default_rng(5).normal(size=(dim, dim)))[0], np.float32)


@pytest.fixture(scope="module")
def embed_old(mild_bert: Path) -> Embed:
    """The checkpoint's vectors in other coordinates, as a rotated export would store them."""
    model = SentenceTransformer(str(mild_bert), device="cpu")
    return lambda texts: normalise(np.asarray(model.encode(list(texts)), np.float32)) @ _rotation()


def _old(embed: Embed, *, fingerprint: str = "v1", dim: int = DIM) -> OldEncoder:
    def embed_texts(texts: Sequence[RoleText], on_step: Callable[[int, int], None]) -> Vectors:
        on_step(len(texts), len(texts))
        return embed([item.text for item in texts])

    return OldEncoder("old", fingerprint, dim, embed_texts)


def _options(checkpoint: Path, to: Path, old: OldEncoder | None, *, steps: int = 40) -> AdaptOptions:
    hyperparameters = Hyperparameters(
        TrainingLength(steps=steps), batch=32, learning_rate=1e-2, max_tokens=256
    )
    return AdaptOptions(
        str(checkpoint),
        RunOutput(to),
        dims=(8,),
        hyperparameters=hyperparameters,
        part="map",
        compatible_with=old,
    )


@pytest.fixture(scope="module")
def adapted(
    mild_bert: Path, unlabelled: TrainingData, embed_old: Embed, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Adapted, Path]:
    to = tmp_path_factory.mktemp("compatible") / "v2"
    return adapt(_options(mild_bert, to, _old(embed_old)), unlabelled), to


def test_old_vectors_are_searched_as_well_as_by_the_old_encoder(adapted: tuple[Adapted, Path]) -> None:
    done, to = adapted
    before, after = (figures["on_old"][2] for figures in (done.comparison.before, done.comparison.after))
    assert done.progress.best_step > 0
    for dim in (32, 8):
        assert after[dim] >= 0.99 * before[dim] > 0
    record = json.loads((to / TRAINING_RECORD).read_text())
    assert record["compatible_with"] == {"name": "old", "fingerprint": "v1"}


def test_the_result_finds_more_among_its_own_vectors(adapted: tuple[Adapted, Path]) -> None:
    before, after = (
        figures["alike"][2][DIM] for figures in (adapted[0].comparison.before, adapted[0].comparison.after)
    )
    assert after > before


def test_the_written_checkpoint_is_in_the_old_space(
    adapted: tuple[Adapted, Path], mild_bert: Path, embed_old: Embed, texts: tuple[str, ...]
) -> None:
    """By a random rotation, no checkpoint is near it by chance."""
    old = embed_old(texts)

    def nearness(folder: Path) -> float:
        vectors = SentenceTransformer(str(folder), device="cpu").encode(list(texts))
        return float(cosines(normalise(np.asarray(vectors, np.float32)), old).mean())

    assert nearness(adapted[1]) > 0.9 > 0.5 > nearness(mild_bert)


def test_a_run_that_was_stopped_ends_as_if_it_never_had(
    bert: Path, pairs: TrainingData, embed_old: Embed, tmp_path: Path
) -> None:
    old = _old(embed_old)
    adapt(_options(bert, tmp_path / "whole", old, steps=12), pairs)
    to = tmp_path / "parts"
    assert not adapt(_options(bert, to, old, steps=12), pairs, stop=stop_after(3)).progress.finished
    other = _old(embed_old, fingerprint="v0")
    with pytest.raises(TrainingFailed, match="differs in compatible with"):
        adapt(_options(bert, to, other, steps=12), pairs)
    assert adapt(_options(bert, to, old, steps=12), pairs).progress.finished
    assert same(tmp_path / "whole", to)


def test_vectors_of_another_length_cannot_be_compared(
    bert: Path, pairs: TrainingData, embed_old: Embed, tmp_path: Path
) -> None:
    with pytest.raises(NotOffered, match="differ in length") as refused:
        adapt(_options(bert, tmp_path / "v2", _old(embed_old, dim=16)), pairs)
    assert "32 dims, old 16" in str(refused.value) and "nestvec bridge" in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_only_a_map_is_compatible(bert: Path, embed_old: Embed, tmp_path: Path) -> None:
    options = _options(bert, tmp_path / "v2", _old(embed_old))
    with pytest.raises(TrainingFailed, match="only a linear map"):
        replace(options, part="encoder")


def test_training_starts_at_the_map_between_the_spaces() -> None:
    random = np.random.default_rng(0)
    new = normalise(random.normal(size=(400, 16)).astype(np.float32))
    np.testing.assert_allclose(aligning_matrix(new @ _rotation(16), new), _rotation(16), atol=1e-5)
    stretched = normalise(new * np.linspace(0.2, 2, 16, dtype=np.float32))
    aligned = normalise(np.asarray(new @ aligning_matrix(stretched, new), np.float32))
    assert cosines(aligned, stretched).mean() > cosines(new, stretched).mean() + 0.05
