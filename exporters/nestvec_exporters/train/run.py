"""A training run from start to end, whatever it trains; and its folder, from which it resumes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.progress import Listener
from nestvec_exporters.train.options import Hyperparameters, RunOutput
from nestvec_exporters.train.result import (
    TrainingProgress,
    TrainingResult,
    check_output,
    reporting_write_errors,
    run_folder,
    with_int_keys,
    write_record,
    writing_checkpoint,
)
from nestvec_schemas.errors import NestvecError, TrainingFailed
from nestvec_schemas.extras import require_packages
from nestvec_schemas.repository import sha256

if TYPE_CHECKING:
    from nestvec_exporters.train.loop import Objective

_PACKAGES: Final = ("torch", "transformers", "sentence_transformers")
_DESCRIPTION: Final = "run.json"
_STATES: Final = "state.*"
_PROGRESS_UNITS: Final = 1000

ObjectiveT = TypeVar("ObjectiveT", bound="Objective")
ResultT = TypeVar("ResultT", bound=TrainingResult[Any], covariant=True)


@dataclass(frozen=True)
class RunContext:
    """What a run reads, where it keeps its state, and who observes it."""

    checkpoints: Sequence[Checkpoint]
    folder: Path
    listener: Listener


@dataclass(frozen=True)
class Started(Generic[ObjectiveT]):
    """A model where training begins."""

    objective: ObjectiveT

    before: Any
    """The held-out figures of the checkpoint as it was, in JSON's form."""


@dataclass(frozen=True)
class RunOutcome:
    """What the loop came to: how far it got, and figures before it and of the best weights."""

    progress: TrainingProgress
    before: Any
    after: Any


class RunOptions(Protocol):
    """What every run is told."""

    @property
    def output(self) -> RunOutput: ...

    @property
    def hyperparameters(self) -> Hyperparameters: ...

    @property
    def checkpoints(self) -> Sequence[str]:
        """The checkpoints that it reads: folders or Hugging Face ids."""
        ...


class Training(Protocol[ObjectiveT, ResultT]):
    """A kind of training: what it checks, reads, minimises and returns."""

    @property
    def options(self) -> RunOptions: ...

    def check(self) -> None:
        """Raise TrainingDataUnusable for data that cannot be trained on."""
        ...

    def description(self) -> Mapping[str, Any]:
        """What distinguishes this run from others, besides its checkpoints, in JSON's form."""
        ...

    def start(self, context: RunContext) -> Started[ObjectiveT]:
        """Load the model and take its figures, or restore both from the run's folder."""
        ...

    def result(self, started: Started[ObjectiveT], context: RunContext, outcome: RunOutcome) -> ResultT:
        """What the run came to."""
        ...


def run_training(
    training: Training[ObjectiveT, ResultT],
    listener: Listener | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> ResultT:
    """Train, and write the new checkpoint; it appears complete or not at all.

    A run that was stopped or killed resumes when called again with the same arguments, without ``force``.
    Raises TrainingDataUnusable, TrainingFailed (also if the interrupted run is a different one),
    CheckpointError, DimNotOffered and ExitNotOffered; NestvecError if the packages of the ``export`` extra
    are missing.
    """
    listener = listener or Listener()
    require_packages("training", _PACKAGES, "export")
    output = training.options.output
    check_output(output.folder, force=output.force)
    training.check()
    listener.stage("reading the checkpoint")
    checkpoints = [read_checkpoint(name) for name in training.options.checkpoints]
    weights = [
        path for checkpoint in checkpoints for path in sorted(checkpoint.folder.rglob("*.safetensors"))
    ]
    description = {
        "checkpoint": [checkpoint.source for checkpoint in checkpoints],
        "weights": [sha256(path) for path in weights],
        **training.description(),
    }
    context = RunContext(checkpoints, open_run(description, output), listener)
    listener.stage("loading libraries")
    with _cleaning_up(context.folder):
        result = _train(training, context, stop)
    if result.progress.finished:
        shutil.rmtree(context.folder)
    return result


def _train(training: Training[ObjectiveT, ResultT], context: RunContext, stop: Callable[[], bool]) -> ResultT:
    from nestvec_exporters.train.loop import BEST_FILE, LoopCallbacks, TrainingLoop  # noqa: PLC0415 - slow
    from nestvec_exporters.train.state import read_state  # noqa: PLC0415

    listener, output = context.listener, training.options.output
    started = training.start(context)
    loop = TrainingLoop(started.objective, training.options.hyperparameters, context.folder)
    listener.stage("training")

    def report(share: float) -> None:
        listener.step(round(share * _PROGRESS_UNITS), _PROGRESS_UNITS)

    finished = loop.run(LoopCallbacks(report, stop))
    best = read_state(context.folder / BEST_FILE)
    position = loop.position
    progress = TrainingProgress(position.step, position.best_step, round(position.seconds, 1), finished)
    after = best.record["figures"] if best else {}
    outcome = RunOutcome(progress, with_int_keys(started.before), with_int_keys(after))
    result = training.result(started, context, outcome)
    if finished and best:
        listener.stage("writing the best weights")
        started.objective.model.load(best.tensors)
        with writing_checkpoint(output.folder, force=output.force) as folder:
            started.objective.model.save(folder)
            write_record(result.record(), folder)
    return result


def open_run(description: Mapping[str, Any], output: RunOutput) -> Path:
    """The folder of the run with this description, in JSON's form.

    Raises TrainingFailed if the interrupted run is a different one, or required and absent.
    """
    folder = run_folder(output.folder)
    if output.force and folder.exists():
        shutil.rmtree(folder)
    path = folder / _DESCRIPTION
    if path.is_file():
        interrupted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in description if interrupted.get(name) != description[name]]
        if differing:
            name = differing[0]
            raise TrainingFailed(
                f"the interrupted run to {output.folder} is a different one: it differs in "
                f"{', '.join(differing)}",
                value=f"{name} {interrupted.get(name)}, now {description[name]}",
                next_step="Give the arguments that it had to resume it, or --force to discard it.",
            )
    elif output.resume:
        raise TrainingFailed(
            "there is no interrupted run to resume",
            value=str(folder),
            next_step="Omit --resume, or give the same --to.",
        )
    else:
        with reporting_write_errors(output.folder):
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(description), encoding="utf-8")
    return folder


@contextmanager
def _cleaning_up(folder: Path) -> Iterator[None]:
    """Silence libraries; remove the folder of a run that fails before it has a state to resume from."""
    try:
        with quiet():
            yield
    except NestvecError:
        if not any(folder.glob(_STATES)):
            shutil.rmtree(folder)
        raise
