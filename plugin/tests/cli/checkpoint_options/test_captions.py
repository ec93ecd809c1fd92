from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nestvec.cli import cli
from nestvec.datasets.captions import open_image
from nestvec_exporters.progress import Listener
from nestvec_exporters.train import Hyperparameters, RunOutput, TrainingLength
from nestvec_exporters.train.captions import (
    AdaptedTowers,
    Augmentation,
    CaptionData,
    CaptionOptions,
    TowerTraining,
)
from nestvec_exporters.train.result import Comparison, DataSummary, TrainingProgress
from nestvec_schemas.errors import TrainingDataUnusable

BEFORE = {"text→image": {384: 0.2, 64: 0.1}, "image→text": {384: 0.3, 64: 0.2}}
AFTER = {"text→image": {384: 0.6, 64: 0.5}, "image→text": {384: 0.7, 64: 0.4}}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"image": "a.png", "caption": "a frog", "tags": ["animal"], "split": "train"}\n')
    return path


@pytest.fixture
def training_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[CaptionOptions, CaptionData]]:
    """Trains nothing: what training was called with, and figures of its own in answer."""
    calls: list[tuple[CaptionOptions, CaptionData]] = []

    def adapt(
        options: CaptionOptions, data: CaptionData, listener: Listener, stop: Callable[[], bool]
    ) -> AdaptedTowers:
        calls.append((options, data))
        return AdaptedTowers(
            method="InfoNCE",
            checkpoint=options.checkpoint,
            image_checkpoint=options.image_checkpoint,
            data=DataSummary(data.name, rows=900, held_out=50),
            dims=(384, 64),
            seed=options.hyperparameters.seed,
            progress=TrainingProgress(
                steps=7, best_step=6, seconds=60.0, finished=options.checkpoint != "stopped"
            ),
            comparison=Comparison("r@10", before=BEFORE, after=AFTER),
        )

    monkeypatch.setattr("nestvec_exporters.train.captions.adapt_captions", adapt)
    return calls


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--captions", "FILE", "--texts", "FILE"], "Give exactly one of"),
        (["--captions", "FILE", "--exits", "2"], "--exits: available only without --captions."),
        (["--captions", "FILE", "--teacher", "m"], "--teacher: available only without --captions."),
        (["--texts", "FILE", "--image-checkpoint", "m"], "--image-checkpoint: available only with"),
        (["--texts", "FILE", "--image-rate", "0"], "--image-rate: available only with --captions."),
        (["--captions", "FILE", "--only", "train"], "is not COLUMN=VALUE"),
        (["--captions", "FILE", "--augment", "colour"], "is not one of"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], says: str, pairs: Path, tmp_path: Path) -> None:
    arguments_ = [str(pairs) if argument == "FILE" else argument for argument in arguments]
    done = CliRunner().invoke(cli, ["adapt", "x", "--to", str(tmp_path / "y"), *arguments_])
    assert done.exit_code == 2
    assert says in done.output


def test_options_and_rows_reach_the_training(
    training_calls: list[tuple[CaptionOptions, CaptionData]], pairs: Path, tmp_path: Path
) -> None:
    words = ["model", "--to", str(tmp_path / "clip"), "--captions", str(pairs), "--columns", "image,tags"]
    words += ["--image-checkpoint", "classifier", "--only", "split=train", "--captions-a-step", "2"]
    words += ["--text-rate", "0", "--image-rate", "0.5", "--image-blocks", "4", "--augment", "mirror"]
    words += [
        "--dims",
        "64",
        "--steps",
        "9",
        "--batch",
        "128",
        "--learning-rate",
        "0.01",
        "--max-tokens",
        "16",
    ]
    done = CliRunner().invoke(cli, ["adapt", *words, "--seed", "3", "--force"])
    assert done.exit_code == 0, done.output
    options, data = training_calls[0]
    assert data == CaptionData("pairs.jsonl", (tmp_path / "a.png",), (("animal",),), open_image)
    assert options == CaptionOptions(
        "model",
        RunOutput(tmp_path / "clip", force=True),
        image_checkpoint="classifier",
        dims=(64,),
        hyperparameters=Hyperparameters(
            TrainingLength(steps=9), batch=128, learning_rate=0.01, max_tokens=16, seed=3
        ),
        captions=2,
        text=TowerTraining(0.0),
        image=TowerTraining(0.5, 4),
        augmentation=Augmentation(moved=True, mirrored=True),
    )


def test_the_defaults_are_the_trainings_own(
    training_calls: list[tuple[CaptionOptions, CaptionData]], pairs: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(cli, ["adapt", "m", "--to", str(tmp_path / "n"), "--captions", str(pairs)])
    assert done.exit_code == 0, done.output
    assert training_calls[0][0] == CaptionOptions("m", RunOutput(tmp_path / "n"))


def test_figures_are_shown_before_and_after(
    training_calls: list[tuple[CaptionOptions, CaptionData]], pairs: Path, tmp_path: Path
) -> None:
    words = ["adapt", "model", "--to", str(tmp_path / "n"), "--captions", str(pairs)]
    done = CliRunner().invoke(cli, words)
    rows = [tuple(line.split("│")[1:-1]) for line in done.output.splitlines() if "│" in line]
    assert [tuple(cell.strip() for cell in row) for row in rows] == [
        ("text→image", "before", "0.200", "0.100"),
        ("", "after", "0.600", "0.500"),
        ("image→text", "before", "0.300", "0.200"),
        ("", "after", "0.700", "0.400"),
    ]
    assert f"nestvec export {tmp_path / 'n'} --to models" in done.output
    shown = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert shown["finished"] is True and shown["after"]["image→text"]["384"] == 0.7
    stopped = CliRunner().invoke(cli, ["adapt", "stopped", *words[2:]])
    assert stopped.exit_code == 130 and "To continue, run the same command again" in stopped.output


def test_too_few_images_are_an_error_and_leave_nothing(pairs: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli, ["adapt", "./absent", "--to", str(tmp_path / "n"), "--captions", str(pairs)]
    )
    assert isinstance(done.exception, TrainingDataUnusable)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]
