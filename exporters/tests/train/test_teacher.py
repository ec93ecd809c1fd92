from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nestvec_exporters.train import (
    AdaptOptions,
    Hyperparameters,
    RunOutput,
    TrainingData,
    TrainingLength,
    adapt,
)
from nestvec_exporters.train.result import run_folder
from nestvec_exporters.train.teacher import teacher_scores
from nestvec_schemas.errors import CheckpointNotFound, CheckpointUnsupported

ROWS = (("heat", "heat flow", "wing"), ("wing", "a wing", "gas"), ("gas", "gas jet", "heat flow"))


@pytest.fixture
def teacher(write_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A cross-encoder of random weights with one output."""
    written = write_checkpoint("Bert", head="ForSequenceClassification", num_labels=1)
    return written.rename(tmp_path / "teacher")


def test_a_pair_has_its_score_and_a_triplet_the_margin(teacher: Path) -> None:
    right = teacher_scores(str(teacher), [row[:2] for row in ROWS], 16)
    wrong = teacher_scores(str(teacher), [(row[0], row[2]) for row in ROWS], 16)
    margins = teacher_scores(str(teacher), ROWS, 16)
    assert len(set(right)) == 3
    assert np.allclose(np.subtract(right, wrong), margins, atol=1e-5)


def test_a_teacher_gives_one_score(write_checkpoint: Callable[..., Path]) -> None:
    several = write_checkpoint("Bert", head="ForSequenceClassification", num_labels=3)
    with pytest.raises(CheckpointUnsupported, match="3 labels"):
        teacher_scores(str(several), ROWS, 16)


def test_a_teacher_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointNotFound):
        teacher_scores(str(tmp_path / "empty"), ROWS, 16)


def test_pickled_weights_are_refused(teacher: Path) -> None:
    (teacher / "model.safetensors").rename(teacher / "pytorch_model.bin")
    with pytest.raises(CheckpointUnsupported, match="pickled"):
        teacher_scores(str(teacher), ROWS, 16)


def test_its_scores_are_asked_for_once_a_run(
    bert: Path, teacher: Path, pairs: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "nested"
    options = AdaptOptions(
        str(bert),
        RunOutput(to),
        dims=(8,),
        hyperparameters=Hyperparameters(TrainingLength(steps=2), batch=16, max_tokens=16),
        teacher=str(teacher),
    )
    assert not adapt(options, pairs, stop=lambda: True).progress.finished
    assert np.load(run_folder(to) / "scores.npy", allow_pickle=False).shape == (300,)
    monkeypatch.setattr("nestvec_exporters.train.teacher.teacher_scores", None)
    done = adapt(options, pairs)
    assert done.progress.finished and done.method == "teacher scores" and done.comparison.figure == "spearman"
