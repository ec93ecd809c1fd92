from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nestvec.cli import cli
from nestvec_exporters.progress import Listener
from nestvec_exporters.train import (
    Adapted,
    AdaptOptions,
    Hyperparameters,
    RunOutput,
    TrainingData,
    TrainingLength,
)
from nestvec_exporters.train.options import LINEAR_MAP
from nestvec_exporters.train.result import Comparison, CompatibleWith, DataSummary, TrainingProgress
from nestvec_schemas.errors import EncoderNotFound, NestvecError, TrainingDataUnusable
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.repository import read_manifest

FIGURES = {"alike": {6: {384: 1.0, 64: 0.7}, 3: {384: 0.5, 64: 0.4}}, "across": {3: {384: 0.6, 64: 0.5}}}
BETTER = {"alike": {6: {384: 1.0, 64: 0.9}, 3: {384: 0.8, 64: 0.7}}, "across": {3: {384: 0.9, 64: 0.8}}}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"_id": "1", "title": "Heat", "text": "It flows."}\n')
    return path


@pytest.fixture
def training_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[AdaptOptions, TrainingData]]:
    """Trains nothing: what training was called with, and figures of its own in answer."""
    calls: list[tuple[AdaptOptions, TrainingData]] = []

    def adapt(
        options: AdaptOptions, data: TrainingData, listener: Listener, stop: Callable[[], bool]
    ) -> Adapted:
        calls.append((options, data))
        listener.stage("training")
        old = options.compatible_with
        on_old = {} if old is None else {"on_old": {6: {384: 0.41, 64: 0.31}}}
        return Adapted(
            method="distillation",
            checkpoint=options.checkpoint,
            data=DataSummary(data.name, rows=900, held_out=50),
            dims=(384, 64),
            layers=(6, 3),
            seed=options.hyperparameters.seed,
            progress=TrainingProgress(
                steps=7, best_step=6, seconds=60.0, finished=options.checkpoint != "stopped"
            ),
            comparison=Comparison("retention@10", before=FIGURES | on_old, after=BETTER | on_old),
            compatible_with=None if old is None else CompatibleWith(old.name, old.fingerprint),
        )

    monkeypatch.setattr("nestvec_exporters.train.adapt", adapt)
    return calls


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing argument 'CHECKPOINT'"),
        (["x"], "Missing option '--to'"),
        (["x", "--to", "y"], "Give exactly one of --texts, --pairs, --triplets and --captions."),
        (["x", "--to", "y", "--texts", "CORPUS", "--pairs", "CORPUS"], "Give exactly one of"),
        (["x", "--to", "y", "--texts", "absent.jsonl"], "does not exist"),
        (["x", "--to", "y", "--texts", "CORPUS", "--dims", "64,many"], "'many' is not a whole number"),
        (["x", "--to", "y", "--texts", "CORPUS", "--exits", "2;3"], "Write the list as 2,3,4"),
        (["x", "--to", "y", "--pairs", "CORPUS", "--columns", "title,"], "A column name is empty"),
        (["x", "--to", "y", "--texts", "CORPUS", "--batch", "1"], "not in the range"),
        (["x", "--to", "y", "--texts", "CORPUS", "--minutes", "0"], "not in the range"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], says: str, corpus: Path) -> None:
    arguments_ = [str(corpus) if argument == "CORPUS" else argument for argument in arguments]
    done = CliRunner().invoke(cli, ["adapt", *arguments_])
    assert done.exit_code == 2
    assert says in done.output


def test_options_and_rows_reach_the_training(
    training_calls: list[tuple[AdaptOptions, TrainingData]], corpus: Path, tmp_path: Path
) -> None:
    words = ["model", "--to", str(tmp_path / "nested"), "--pairs", str(corpus), "--columns", "title,text"]
    words += ["--dims", "128,64", "--exits", "2,3", "--minutes", "1.5", "--batch", "64", "--seed", "3"]
    words += ["--learning-rate", "0.001", "--max-tokens", "99", "--no-hard-negatives", "--force"]
    assert CliRunner().invoke(cli, ["adapt", *words]).exit_code == 0
    options, data = training_calls[0]
    assert data == TrainingData("corpus.jsonl", "pairs", (("Heat", "It flows."),))
    assert options == AdaptOptions(
        "model",
        RunOutput(tmp_path / "nested", force=True),
        dims=(128, 64),
        exits=(2, 3),
        hyperparameters=Hyperparameters(
            TrainingLength(minutes=1.5), batch=64, learning_rate=0.001, max_tokens=99, seed=3
        ),
        hard_negatives=False,
    )


def test_the_defaults_are_the_trainings_own(
    training_calls: list[tuple[AdaptOptions, TrainingData]], corpus: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(cli, ["adapt", "model", "--to", str(tmp_path / "n"), "--texts", str(corpus)])
    assert done.exit_code == 0, done.output
    assert training_calls[0][0] == AdaptOptions(
        "model", RunOutput(tmp_path / "n"), hyperparameters=LINEAR_MAP, part="map"
    )


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--exits", "3"], "encoder"),
        (["--teacher", "ranker"], "encoder"),
        (["--train", "encoder"], "encoder"),
        (["--steps", "9"], "map"),
    ],
)
def test_an_encoder_is_trained_where_an_option_needs_it(
    training_calls: list[tuple[AdaptOptions, TrainingData]],
    corpus: Path,
    tmp_path: Path,
    words: list[str],
    part: str,
) -> None:
    arguments = ["model", "--to", str(tmp_path / "n"), "--pairs", str(corpus), "--columns", "title,text"]
    done = CliRunner().invoke(cli, ["adapt", *arguments, *words])
    assert done.exit_code == 0, done.output
    options = training_calls[0][0]
    assert options.part == part
    defaults = LINEAR_MAP if part == "map" else Hyperparameters()
    assert options.hyperparameters.batch == defaults.batch


def test_figures_are_shown_before_and_after(
    training_calls: list[tuple[AdaptOptions, TrainingData]], corpus: Path, tmp_path: Path
) -> None:
    words = ["adapt", "model", "--to", str(tmp_path / "nested"), "--texts", str(corpus)]
    done = CliRunner().invoke(cli, words)
    rows = [tuple(line.split("│")[1:-1]) for line in done.output.splitlines() if "│" in line]
    cells = [tuple(cell.strip() for cell in row) for row in rows]
    assert cells == [
        ("6", "before", "1.000", "0.700"),
        ("", "after", "1.000", "0.900"),
        ("3", "before", "0.500", "0.400"),
        ("", "after", "0.800", "0.700"),
        ("3→6", "before", "0.600", "0.500"),
        ("", "after", "0.900", "0.800"),
    ]
    assert max(map(len, done.output.splitlines()[:12])) <= 80
    assert f"nestvec export {tmp_path / 'nested'} --to models --exits 3" in done.output
    shown = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert shown["finished"] is True and shown["after"]["alike"]["3"]["64"] == 0.7
    assert shown["path"] == str(tmp_path / "nested")


def test_a_stopped_run_ends_with_130_and_says_how_to_continue(
    training_calls: list[tuple[AdaptOptions, TrainingData]], corpus: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(cli, ["adapt", "stopped", "--to", str(tmp_path / "n"), "--texts", str(corpus)])
    assert done.exit_code == 130
    assert "To continue, run the same command again" in done.output


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--texts", "CORPUS"], TrainingDataUnusable),
        (["--pairs", "CORPUS", "--scores", "score"], TrainingDataUnusable),
        (["--texts", "CORPUS", "--epochs", "1", "--steps", "1"], NestvecError),
        (["--texts", "CORPUS", "--resume", "--force"], NestvecError),
    ],
)
def test_what_cannot_be_trained_is_an_error_and_leaves_nothing(
    words: list[str], error: type[NestvecError], corpus: Path, tmp_path: Path
) -> None:
    arguments_ = [str(corpus) if argument == "CORPUS" else argument for argument in words]
    done = CliRunner().invoke(cli, ["adapt", "./absent", "--to", str(tmp_path / "nested"), *arguments_])
    assert isinstance(done.exception, error)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.jsonl"]


def test_a_run_that_is_stopped_before_training_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, corpus: Path, tmp_path: Path
) -> None:
    def adapt(
        options: AdaptOptions, data: TrainingData, listener: Listener, stop: Callable[[], bool]
    ) -> Adapted:
        listener.stage("embedding")
        listener.step(1, 9)
        signal.raise_signal(signal.SIGTERM)
        listener.step(2, 9)
        raise AssertionError("it went on")

    monkeypatch.setattr("nestvec_exporters.train.adapt", adapt)
    done = CliRunner().invoke(cli, ["adapt", "model", "--to", str(tmp_path / "n"), "--texts", str(corpus)])
    assert done.exit_code == 1 and "Aborted" in done.output


def test_compatible_training_reads_the_old_encoder_and_says_what_follows(
    corpus: Path, models_folder: Path, training_calls: list[tuple[AdaptOptions, TrainingData]]
) -> None:
    encoder = models_folder / "tiny"
    words = ["adapt", "x", "--to", "y", "--texts", str(corpus), "--compatible-with", str(encoder)]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (options, _), manifest = training_calls[0], read_manifest(encoder)
    old = options.compatible_with
    assert old is not None and options.part == "map"
    assert (old.name, old.fingerprint, old.dim) == (
        manifest.name,
        encoder_fingerprint(manifest),
        manifest.dim,
    )
    assert "on old vectors" in done.stdout and "0.410" in done.stdout
    assert f"nestvec bridge {manifest.name} NAME" in done.stdout


def test_an_old_encoder_that_is_absent_is_an_error(
    corpus: Path, tmp_path: Path, training_calls: list[tuple[AdaptOptions, TrainingData]]
) -> None:
    words = ["adapt", "x", "--to", "y", "--texts", str(corpus), "--compatible-with", str(tmp_path / "v1")]
    done = CliRunner().invoke(cli, words)
    assert isinstance(done.exception, EncoderNotFound)
    assert not training_calls
