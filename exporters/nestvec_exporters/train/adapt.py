"""Checkpoint and texts to a nested checkpoint, step by step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.progress import Listener
from nestvec_exporters.train.options import AdaptOptions
from nestvec_exporters.train.result import (
    Adapted,
    by_number,
    check_target,
    write_record,
    written,
)
from nestvec_exporters.train.runs import open_run, running
from nestvec_exporters.training_data import TrainingData, prepare
from nestvec_schemas.errors import TrainingDataUnusable
from nestvec_schemas.extras import need
from nestvec_schemas.repository import sha256

_NEEDED = ("torch", "transformers", "sentence_transformers")
_SCORES = "scores.npy"
_SHARES = 1000
_METHODS = {
    "texts": "distillation",
    "pairs": "multiple negatives ranking",
    "triplets": "multiple negatives ranking",
    "scores": "teacher scores",
}


def adapt(
    options: AdaptOptions,
    data: TrainingData,
    listener: Listener | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Adapted:
    """Train a checkpoint so that its prefixes and its exits are good vectors, and write it to ``options.to``.

    The new checkpoint appears whole or not at all; a run that was stopped or killed goes on where it was
    when it is called again alike. Raises TrainingDataUnusable, TrainingFailed (also where the run to go on
    with is another one), CheckpointError, DimNotOffered and ExitNotOffered; NestvecError where the packages
    of the ``export`` extra are missing.
    """
    hears = listener or Listener()
    need("training", _NEEDED, "export")
    check_target(options.to, force=options.force)
    if options.teacher is not None and (data.kind == "texts" or data.scores is not None):
        raise TrainingDataUnusable(
            "a teacher scores pairs or triplets that have no scores yet",
            value=f"{data.kind}{' with scores' if data.scores else ''}",
            next_step="Leave out --teacher, or give --pairs or --triplets without --scores.",
        )
    prepare(data, options.seed)
    hears.stage("reading the checkpoint")
    checkpoint = read_checkpoint(options.checkpoint)
    work = open_run(_described(options, data, checkpoint), options)
    hears.stage("loading libraries")
    with running(work):
        adapted = _train(options, data, _Run(checkpoint, work, hears, stop))
    if adapted.finished:
        shutil.rmtree(work)
    return adapted


@dataclass(frozen=True)
class _Run:
    """What a run reads and writes, and who hears of it."""

    checkpoint: Checkpoint
    work: Path
    hears: Listener
    stop: Callable[[], bool]


def _described(options: AdaptOptions, data: TrainingData, checkpoint: Checkpoint) -> dict[str, Any]:
    """All that makes a run what it is, as JSON gives it back."""
    length = options.length
    weights = sorted(checkpoint.folder.rglob("*.safetensors"))
    return {
        "checkpoint": checkpoint.source,
        "weights": [sha256(path) for path in weights],
        "data": data.digest(),
        "dims": None if options.dims is None else sorted(options.dims),
        "exits": sorted(options.exits),
        "length": [length.epochs, length.steps, length.minutes],
        "batch": options.batch,
        "learning rate": options.learning_rate,
        "max tokens": options.max_tokens,
        "seed": options.seed,
        "hard negatives": options.near,
        "teacher": options.teacher,
    }


def _scored(options: AdaptOptions, data: TrainingData, run: _Run) -> TrainingData:
    """The data with the teacher's scores, where there is a teacher. They are asked for once a run."""
    if options.teacher is None:
        return data
    from nestvec_exporters.train.teacher import teacher_scores  # noqa: PLC0415 - seconds of imports

    path = run.work / _SCORES
    if not path.is_file():
        run.hears.stage("asking the teacher")
        scores = teacher_scores(options.teacher, data.rows, options.max_tokens, run.hears.step)
        new = path.with_name(f"new-{path.name}")
        np.save(new, np.asarray(scores))
        new.replace(path)
    return replace(data, scores=tuple(np.load(path, allow_pickle=False).tolist()))


def _train(options: AdaptOptions, data: TrainingData, run: _Run) -> Adapted:
    from nestvec_exporters.train.loop import Loop  # noqa: PLC0415 - seconds of imports
    from nestvec_exporters.train.start import begin  # noqa: PLC0415
    from nestvec_exporters.train.state import read  # noqa: PLC0415
    from nestvec_exporters.train.stepping import BEST, Hears, train  # noqa: PLC0415

    scored = _scored(options, data, run)
    prepared = prepare(scored, options.seed)
    started = begin(options, prepared, run.checkpoint, run.work, run.hears)
    task = started.task
    loop = Loop(task, run.work)
    run.hears.stage("training")
    finished = train(loop, Hears(lambda share: run.hears.step(round(share * _SHARES), _SHARES), run.stop))
    best = read(run.work / BEST)
    adapted = Adapted(
        method=_METHODS[data.kind if scored.scores is None else "scores"],
        checkpoint=run.checkpoint.source,
        data=data.name,
        rows=len(prepared.training),
        held_out=len(prepared.held_out),
        dims=task.dims,
        layers=task.student.layers,
        seed=options.seed,
        steps=loop.position.step,
        best_step=loop.position.best_step,
        seconds=round(loop.position.seconds, 1),
        figure=task.held.name,
        before=by_number(started.before),
        after=by_number(best.record["figures"] if best else {}),
        finished=finished,
    )
    if finished and best:
        run.hears.stage("writing the best weights")
        task.student.load(best.tensors)
        with written(options.to, force=options.force) as folder:
            task.student.save(folder)
            write_record(adapted.record(), folder)
    return adapted
