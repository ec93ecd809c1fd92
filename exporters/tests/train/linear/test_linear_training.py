from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from trained import same, stop_after

from nestvec_exporters.checkpoints.checkpoint import TRAINING_RECORD, read_checkpoint
from nestvec_exporters.train import (
    Adapted,
    AdaptOptions,
    Hyperparameters,
    RunOutput,
    TrainingData,
    TrainingLength,
    adapt,
)
from nestvec_exporters.train.loop import STATE_FILE
from nestvec_exporters.train.result import run_folder
from nestvec_schemas.errors import NestvecError, TrainingDataUnusable, TrainingFailed


def options(
    checkpoint: Path, to: Path, *, rate: float = 1e-2, steps: int = 40, seed: int = 0
) -> AdaptOptions:
    hyperparameters = Hyperparameters(
        TrainingLength(steps=steps), batch=32, learning_rate=rate, max_tokens=256, seed=seed
    )
    return AdaptOptions(
        str(checkpoint), RunOutput(to), dims=(8,), hyperparameters=hyperparameters, part="map"
    )


@pytest.fixture(scope="module")
def adapted(
    mild_bert: Path, unlabelled: TrainingData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Adapted, Path]:
    to = tmp_path_factory.mktemp("linear") / "nested"
    return adapt(options(mild_bert, to), unlabelled), to


def test_short_vectors_find_more_and_full_ones_too(adapted: tuple[Adapted, Path]) -> None:
    done, _ = adapted
    assert done.progress.finished and done.progress.best_step > 0
    before, after = (figures["alike"][2] for figures in (done.comparison.before, done.comparison.after))
    assert after[8] > before[8] + 0.02
    assert after[32] > before[32] + 0.02


def test_only_a_map_is_added(adapted: tuple[Adapted, Path], mild_bert: Path) -> None:
    _, to = adapted
    assert read_checkpoint(str(to)).trained
    model = SentenceTransformer(str(to), device="cpu")
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Dense"]
    before, after = load_file(mild_bert / "model.safetensors"), load_file(to / "model.safetensors")
    assert all(bool((after[name] == weights).all()) for name, weights in before.items() if name in after)
    record = json.loads((to / TRAINING_RECORD).read_text())
    assert record["method"] == "linear map" and record["figure"] == "ndcg@10"
    assert record["layers"] == [2] and record["dims"] == [32, 8]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_map_that_is_worse_at_full_length_is_refused(
    bert: Path, unlabelled: TrainingData, tmp_path: Path, seed: int
) -> None:
    done = adapt(options(bert, tmp_path / "nested", rate=0.9, steps=8, seed=seed), unlabelled)
    before, after = (figures["alike"][2] for figures in (done.comparison.before, done.comparison.after))
    assert after[32] >= before[32] - 1e-4


def test_a_run_that_was_stopped_ends_as_if_it_never_had(
    bert: Path, pairs: TrainingData, tmp_path: Path
) -> None:
    adapt(options(bert, tmp_path / "whole"), pairs)
    to = tmp_path / "parts"
    stopped = adapt(options(bert, to), pairs, stop=stop_after(5))
    assert not stopped.progress.finished and not to.exists()
    assert (run_folder(to) / STATE_FILE).is_file()
    finished = adapt(options(bert, to), pairs)
    assert finished.progress.finished and finished.progress.steps == 40
    assert same(tmp_path / "whole", to)


def test_training_the_encoder_does_not_resume_a_map(
    bert: Path, unlabelled: TrainingData, tmp_path: Path
) -> None:
    map_options = options(bert, tmp_path / "nested")
    adapt(map_options, unlabelled, stop=stop_after(1))
    with pytest.raises(TrainingFailed, match="differs in train"):
        adapt(replace(map_options, part="encoder"), unlabelled)


def test_scores_and_exits_need_the_encoder(bert: Path, pairs: TrainingData, tmp_path: Path) -> None:
    scored = replace(pairs, scores=tuple(map(float, range(len(pairs.rows)))))
    with pytest.raises(TrainingDataUnusable, match="--train encoder"):
        adapt(options(bert, tmp_path / "nested"), scored)
    for more in ({"exits": (1,)}, {"teacher": "ranker"}):
        with pytest.raises(NestvecError, match="neither exits nor a teacher"):
            replace(options(bert, tmp_path / "nested"), **more)
    assert not list(tmp_path.iterdir())


def test_adapting_twice_adds_a_second_map(
    adapted: tuple[Adapted, Path], unlabelled: TrainingData, tmp_path: Path
) -> None:
    adapt(options(adapted[1], tmp_path / "again", steps=4), unlabelled)
    model = SentenceTransformer(str(tmp_path / "again"), device="cpu")
    assert [type(module).__name__ for module in model][2:] == ["Dense", "Dense"]
    assert np.isfinite(model.encode(["heat flows"])).all()
