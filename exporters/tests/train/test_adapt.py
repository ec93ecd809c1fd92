from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from trained import same, stop_after

from nestvec_exporters.checkpoints.checkpoint import TRAINING_RECORD, read_checkpoint
from nestvec_exporters.text_encoders.sentence_model import load
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
from nestvec_exporters.train.objective import TextObjective
from nestvec_exporters.train.result import run_folder
from nestvec_schemas.errors import (
    CheckpointError,
    CheckpointUnsupported,
    DimNotOffered,
    EncoderExists,
    ExitNotOffered,
    NestvecError,
    TrainingDataUnusable,
    TrainingFailed,
)


def options(checkpoint: Path, to: Path, **more: Any) -> AdaptOptions:
    """Options of a short run; keywords are of AdaptOptions, Hyperparameters and RunOutput."""
    given = {"dims": (8,), "exits": (1,), **more}
    hyperparameters = {"length": TrainingLength(steps=6), "max_tokens": 32, "batch": 16}
    for field in fields(Hyperparameters):
        if field.name in given:
            hyperparameters[field.name] = given.pop(field.name)
    output = {name: given.pop(name) for name in ("resume", "force") if name in given}
    return AdaptOptions(
        str(checkpoint), RunOutput(to, **output), hyperparameters=Hyperparameters(**hyperparameters), **given
    )


def _no_number(self: TextObjective, step: int) -> torch.Tensor:
    return torch.tensor(float("nan"), requires_grad=True)


@pytest.fixture(scope="module")
def adapted(
    bert: Path, unlabelled: TrainingData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Adapted, Path]:
    """A run of 40 steps on texts without labels, and its folder."""
    to = tmp_path_factory.mktemp("adapted") / "nested"
    return adapt(options(bert, to, length=TrainingLength(steps=40), learning_rate=2e-3), unlabelled), to


def test_prefixes_of_held_out_texts_become_better(adapted: tuple[Adapted, Path]) -> None:
    done, _ = adapted
    assert done.progress.finished and done.progress.steps == 40
    assert done.comparison.after["alike"][2][8] > done.comparison.before["alike"][2][8] + 0.1
    assert done.comparison.after["across"][1][8] > done.comparison.before["across"][1][8] + 0.1
    assert done.comparison.before["alike"][2][32] == 1


def test_the_result_is_a_checkpoint_like_any(adapted: tuple[Adapted, Path]) -> None:
    done, to = adapted
    checkpoint = read_checkpoint(str(to))
    assert checkpoint.trained
    source = load(checkpoint)
    assert source.dim == 32 and source.normalised is False
    assert [type(module).__name__ for module in source.modules] == ["Transformer", "Pooling", "Dense"]
    record = json.loads((to / TRAINING_RECORD).read_text())
    assert record["format"] == 1 and record["method"] == "distillation"
    assert record["data"] == "papers.txt" and record["layers"] == [2, 1] and record["dims"] == [32, 8]
    assert record["after"]["alike"]["2"]["8"] == done.comparison.after["alike"][2][8]
    assert not run_folder(to).exists()
    assert [path.name for path in to.parent.iterdir()] == ["nested"]


def test_the_same_seed_gives_the_same_weights(bert: Path, unlabelled: TrainingData, tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        adapt(options(bert, tmp_path / name, seed=seed, length=TrainingLength(steps=3)), unlabelled)
    assert same(tmp_path / "first", tmp_path / "second")
    assert not same(tmp_path / "first", tmp_path / "other")


@pytest.mark.parametrize("kind", ["texts", "pairs"])
def test_a_run_that_was_stopped_ends_as_if_it_never_had(
    bert: Path, unlabelled: TrainingData, pairs: TrainingData, tmp_path: Path, kind: str
) -> None:
    data = unlabelled if kind == "texts" else pairs
    length = TrainingLength(epochs=1.5)
    adapt(options(bert, tmp_path / "whole", length=length), data)
    to = tmp_path / "parts"
    stopped = adapt(options(bert, to, length=length), data, stop=stop_after(5))
    assert not stopped.progress.finished and not to.exists()
    assert (run_folder(to) / STATE_FILE).is_file()
    finished = adapt(options(bert, to, length=length, resume=True), data)
    assert finished.progress.finished and finished.progress.steps > stopped.progress.steps == 5
    assert same(tmp_path / "whole", to)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"seed": 5}, "differs in seed: seed 0, now 5"),
        ({"learning_rate": 0.01, "max_tokens": 16}, "differs in learning rate, max tokens"),
        ({"exits": ()}, "differs in exits"),
    ],
)
def test_another_run_is_not_gone_on_with(
    bert: Path, unlabelled: TrainingData, tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    to = tmp_path / "nested"
    adapt(options(bert, to), unlabelled, stop=stop_after(1))
    with pytest.raises(TrainingFailed, match=says):
        adapt(options(bert, to, **more), unlabelled)
    assert (run_folder(to) / STATE_FILE).is_file()


def test_other_data_are_another_run_and_force_forgets_it(
    bert: Path, unlabelled: TrainingData, tmp_path: Path
) -> None:
    to = tmp_path / "nested"
    adapt(options(bert, to), unlabelled, stop=stop_after(1))
    other = replace(unlabelled, rows=unlabelled.rows[:-1])
    with pytest.raises(TrainingFailed, match="differs in data"):
        adapt(options(bert, to), other)
    assert adapt(options(bert, to, force=True, length=TrainingLength(steps=1)), other).progress.steps == 1


def test_there_must_be_something_to_resume(bert: Path, unlabelled: TrainingData, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="no interrupted run"):
        adapt(options(bert, tmp_path / "nested", resume=True), unlabelled)
    assert not list(tmp_path.iterdir())


def test_a_damaged_state_is_told(bert: Path, unlabelled: TrainingData, tmp_path: Path) -> None:
    to = tmp_path / "nested"
    adapt(options(bert, to), unlabelled, stop=stop_after(1))
    (run_folder(to) / STATE_FILE).write_bytes(b"\x80\x04not a tensor")
    with pytest.raises(TrainingFailed, match="cannot be read"):
        adapt(options(bert, to), unlabelled)


def _labelled(pairs: TrainingData, kind: str) -> TrainingData:
    """Rows of a kind; where they have scores, every second one has the wrong document and a low score."""
    wrong = [document for _, document in (*pairs.rows[2:], *pairs.rows[:2])]
    rows = [(query, right, other) for (query, right), other in zip(pairs.rows, wrong, strict=True)]
    if not kind.startswith("scored"):
        return pairs if kind == "pairs" else replace(pairs, kind="triplets", rows=tuple(rows))
    swapped = [row if at % 2 else (row[0], row[2], row[1]) for at, row in enumerate(rows)]
    scores = tuple(7.0 if at % 2 else -9.0 for at in range(len(rows)))
    if kind == "scored pairs":
        return replace(pairs, rows=tuple(row[:2] for row in swapped), scores=scores)
    return replace(pairs, kind="triplets", rows=tuple(swapped), scores=scores)


@pytest.mark.parametrize("kind", ["pairs", "triplets", "scored pairs", "scored triplets"])
def test_labelled_rows_improve_what_is_held_out(
    write_checkpoint: Callable[..., Path], pairs: TrainingData, tmp_path: Path, kind: str
) -> None:
    checkpoint = write_checkpoint("Bert", initializer_range=0.05)
    length = TrainingLength(steps=30)
    done = adapt(
        options(checkpoint, tmp_path / "nested", length=length, learning_rate=2e-3), _labelled(pairs, kind)
    )
    assert done.comparison.figure == ("spearman" if "scored" in kind else "mrr@10")
    # The rotation that training starts from puts all of the scored triplets in order already.
    assert done.progress.best_step > 0 or kind == "scored triplets"
    assert done.comparison.after["alike"][1][8] > done.comparison.before["alike"][1][8]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"dims": (64,)}, DimNotOffered),
        ({"exits": (3,)}, ExitNotOffered),
        ({"max_tokens": 65}, CheckpointUnsupported),
    ],
)
def test_what_the_checkpoint_has_not_is_refused(
    bert: Path, unlabelled: TrainingData, tmp_path: Path, more: dict[str, Any], error: type[NestvecError]
) -> None:
    with pytest.raises(error):
        adapt(options(bert, tmp_path / "nested", **more), unlabelled)
    assert not (tmp_path / "nested").exists()
    # The next run with what the checkpoint has is not told of another one.
    assert adapt(
        options(bert, tmp_path / "nested", length=TrainingLength(steps=1)), unlabelled
    ).progress.finished


def test_texts_that_the_tokenizer_cannot_read_are_refused(bert: Path, tmp_path: Path) -> None:
    rows = tuple((f"ሰላም ለዓለም {chr(0x1200 + at)}",) for at in range(300))
    with pytest.raises(TrainingDataUnusable, match="most of their words are unknown"):
        adapt(options(bert, tmp_path / "nested"), TrainingData("amharic.txt", "texts", rows))
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_numbers_are_told_and_nothing_is_left(
    nan_bert: Path, unlabelled: TrainingData, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointUnsupported, match="numbers that are not finite"):
        adapt(options(nan_bert, tmp_path / "nested"), unlabelled)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_kept(bert: Path, unlabelled: TrainingData, tmp_path: Path) -> None:
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "thesis.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(EncoderExists):
            adapt(options(bert, tmp_path / "nested", force=force), unlabelled)
    assert (tmp_path / "nested" / "thesis.txt").read_text() == "mine"


def test_an_adapted_checkpoint_is_replaced_with_force(
    adapted: tuple[Adapted, Path], unlabelled: TrainingData, tmp_path: Path, bert: Path
) -> None:
    to = tmp_path / "nested"
    short = TrainingLength(steps=1)
    adapt(options(bert, to, length=short), unlabelled)
    with pytest.raises(EncoderExists, match="--force"):
        adapt(options(bert, to, length=short), unlabelled)
    # What was adapted can be adapted again.
    again = adapt(options(adapted[1], to, length=short, force=True), unlabelled)
    assert again.checkpoint == "nested"
    assert [path.name for path in tmp_path.iterdir()] == ["nested"]


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_was_good(
    bert: Path, unlabelled: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "nested"
    adapt(options(bert, to), unlabelled, stop=stop_after(3))
    kept = (run_folder(to) / STATE_FILE).read_bytes()
    monkeypatch.setattr(TextObjective, "loss", _no_number)
    with pytest.raises(TrainingFailed, match="no longer finite: nan at step 4"):
        adapt(options(bert, to), unlabelled)
    assert (run_folder(to) / STATE_FILE).read_bytes() == kept
    assert not to.exists()


def test_a_place_that_cannot_be_written_is_told(bert: Path, unlabelled: TrainingData, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError):
        adapt(options(bert, tmp_path / "file" / "nested"), unlabelled)


def test_a_teacher_is_for_rows_without_scores(
    bert: Path, unlabelled: TrainingData, pairs: TrainingData, tmp_path: Path
) -> None:
    scored = replace(pairs, scores=tuple(map(float, range(300))))
    for data in (unlabelled, scored):
        with pytest.raises(TrainingDataUnusable, match="teacher"):
            adapt(options(bert, tmp_path / "nested", teacher=str(bert)), data)
