"""Checkpoint and texts to a nested checkpoint, step by step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nestvec_exporters.adapt.data import TrainingData, prepare
from nestvec_exporters.adapt.options import AdaptOptions
from nestvec_exporters.adapt.result import (
    Adapted,
    by_number,
    check_target,
    work_folder,
    write_record,
    writing,
    written,
)
from nestvec_exporters.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.export import Listener
from nestvec_schemas.errors import NestvecError, TrainingDataUnusable, TrainingFailed
from nestvec_schemas.packages import need
from nestvec_schemas.repository import sha256

_NEEDED = ("torch", "transformers", "sentence_transformers")
_RUN = "run.json"
_SCORES = "scores.npy"
_STATES = "state.*"
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
    work = _open_run(options, data, checkpoint)
    hears.stage("loading libraries")
    from nestvec_exporters.quiet import quiet  # noqa: PLC0415 - seconds of imports

    try:
        with quiet():
            adapted = _train(options, data, _Run(checkpoint, work, hears, stop))
    except NestvecError:
        if not any(work.glob(_STATES)):
            shutil.rmtree(work)
        raise
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


def _open_run(options: AdaptOptions, data: TrainingData, checkpoint: Checkpoint) -> Path:
    """The run's folder, a new one or that of an interrupted run alike. Raises TrainingFailed."""
    work = work_folder(options.to)
    if options.force and work.exists():
        shutil.rmtree(work)
    this = _described(options, data, checkpoint)
    path = work / _RUN
    if path.is_file():
        other: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in this if other.get(name) != this[name]]
        if differing:
            name = differing[0]
            raise TrainingFailed(
                f"an interrupted run to {options.to} is another one: it differs in {', '.join(differing)}",
                value=f"{name} {other.get(name)}, now {this[name]}",
                next_step="Give what it had to go on with it, or --force to forget it.",
            )
    elif options.resume:
        raise TrainingFailed(
            "there is no interrupted run to go on with",
            value=str(work),
            next_step="Leave out --resume, or name the same --to.",
        )
    else:
        with writing(options.to):
            work.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(this), encoding="utf-8")
    return work


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
    from nestvec_exporters.adapt.teacher import teacher_scores  # noqa: PLC0415 - seconds of imports

    path = run.work / _SCORES
    if not path.is_file():
        run.hears.stage("asking the teacher")
        scores = teacher_scores(options.teacher, data.rows, options.max_tokens, run.hears.step)
        new = path.with_name(f"new-{path.name}")
        np.save(new, np.asarray(scores))
        new.replace(path)
    return replace(data, scores=tuple(np.load(path, allow_pickle=False).tolist()))


def _train(options: AdaptOptions, data: TrainingData, run: _Run) -> Adapted:
    from nestvec_exporters.adapt.loop import BEST, Hears, Loop  # noqa: PLC0415 - seconds of imports
    from nestvec_exporters.adapt.start import begin  # noqa: PLC0415
    from nestvec_exporters.adapt.state import read  # noqa: PLC0415

    scored = _scored(options, data, run)
    prepared = prepare(scored, options.seed)
    started = begin(options, prepared, run.checkpoint, run.work, run.hears)
    task = started.task
    loop = Loop(task, run.work)
    run.hears.stage("training")
    finished = loop.run(Hears(lambda share: run.hears.step(round(share * _SHARES), _SHARES), run.stop))
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
            write_record(adapted, folder)
    return adapted
