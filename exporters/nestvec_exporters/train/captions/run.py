"""Checkpoint, pictures and captions to a nested checkpoint of two towers, step by step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.progress import Listener
from nestvec_exporters.train.captions.data import CaptionData, prepare
from nestvec_exporters.train.captions.measure import FIGURE, Recalls
from nestvec_exporters.train.captions.options import CaptionOptions
from nestvec_exporters.train.options import prefixes
from nestvec_exporters.train.result import FORMAT, check_target, made_with, write_record, written
from nestvec_exporters.train.runs import open_run, running
from nestvec_schemas.extras import need
from nestvec_schemas.repository import sha256

if TYPE_CHECKING:
    from nestvec_exporters.train.captions.loop import Task

_NEEDED = ("torch", "transformers", "sentence_transformers")
_START: Final = "start.safetensors"
_SHARES = 1000


@dataclass(frozen=True)
class AdaptedPair:
    """What a run came to; all but ``finished`` is what the checkpoint's record holds.

    ``before`` and ``after`` are held-out figures named ``figure``, by way and dim: of the towers as they
    came together, and of the best weights.
    """

    method: str
    checkpoint: str
    image_checkpoint: str | None
    data: str
    rows: int
    held_out: int
    dims: tuple[int, ...]
    seed: int
    steps: int
    best_step: int
    seconds: float
    before: Recalls
    after: Recalls
    figure: str = FIGURE
    finished: bool = True

    def record(self) -> dict[str, Any]:
        """The file's content."""
        said = {name: value for name, value in asdict(self).items() if name != "finished"}
        return {"format": FORMAT, **said, "created_with": made_with()}


def adapt_captions(
    options: CaptionOptions,
    data: CaptionData,
    listener: Listener | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> AdaptedPair:
    """Train two towers to find pictures by captions and back, and write them to ``options.to``.

    The new checkpoint appears whole or not at all; a run that was stopped or killed goes on where it was
    when it is called again alike. Raises TrainingDataUnusable, TrainingFailed (also where the run to go on
    with is another one), CheckpointError and DimNotOffered; NestvecError where the packages of the
    ``export`` extra are missing.
    """
    hears = listener or Listener()
    need("training", _NEEDED, "export")
    check_target(options.to, force=options.force)
    prepare(data, options.seed)
    hears.stage("reading the checkpoint")
    checkpoint = read_checkpoint(options.checkpoint)
    image = None if options.image_checkpoint is None else read_checkpoint(options.image_checkpoint)
    work = open_run(_described(options, data, [one for one in (checkpoint, image) if one]), options)
    hears.stage("loading libraries")
    with running(work):
        adapted = _train(options, data, _Run(checkpoint, image, work, hears, stop))
    if adapted.finished:
        shutil.rmtree(work)
    return adapted


@dataclass(frozen=True)
class _Run:
    """What a run reads and writes, and who hears of it."""

    checkpoint: Checkpoint
    image: Checkpoint | None
    work: Path
    hears: Listener
    stop: Callable[[], bool]


def _described(options: CaptionOptions, data: CaptionData, given: list[Checkpoint]) -> dict[str, Any]:
    """All that makes a run what it is, as JSON gives it back."""
    length = options.length
    return {
        "checkpoint": [one.source for one in given],
        "weights": [sha256(path) for one in given for path in sorted(one.folder.rglob("*.safetensors"))],
        "data": data.digest(),
        "dims": None if options.dims is None else sorted(options.dims),
        "length": [length.epochs, length.steps, length.minutes],
        "batch": [options.batch, options.captions],
        "learning rate": options.learning_rate,
        "max tokens": options.max_tokens,
        "text tower": [options.text.rate, options.text.blocks],
        "image tower": [options.image.rate, options.image.blocks],
        "moved": [options.moved, options.mirrored],
        "seed": options.seed,
    }


def _train(options: CaptionOptions, data: CaptionData, run: _Run) -> AdaptedPair:
    from nestvec_exporters.train.captions.loop import Loop  # noqa: PLC0415 - seconds of imports
    from nestvec_exporters.train.state import read  # noqa: PLC0415
    from nestvec_exporters.train.stepping import BEST, Hears, train  # noqa: PLC0415

    task = _task(options, data, run)
    pair = task.pair
    before = _started(task, run)
    loop = Loop(task, run.work)
    run.hears.stage("training")
    finished = train(loop, Hears(lambda share: run.hears.step(round(share * _SHARES), _SHARES), run.stop))
    best = read(run.work / BEST)
    adapted = AdaptedPair(
        method="sigmoid loss" if pair.sigmoid else "InfoNCE",
        checkpoint=run.checkpoint.source,
        image_checkpoint=None if run.image is None else run.image.source,
        data=data.name,
        rows=len(task.data.training),
        held_out=len(task.data.held_out),
        dims=task.dims,
        seed=options.seed,
        steps=loop.position.step,
        best_step=loop.position.best_step,
        seconds=round(loop.position.seconds, 1),
        before=_by_number(before),
        after=_by_number(best.record["figures"] if best else {}),
        finished=finished,
    )
    if finished and best:
        run.hears.stage("writing the best weights")
        pair.load(best.tensors)
        with written(options.to, force=options.force) as folder:
            pair.save(folder)
            write_record(adapted.record(), folder)
    return adapted


def _task(options: CaptionOptions, data: CaptionData, run: _Run) -> Task:
    """The towers and the pictures as numbers. Raises CheckpointError, DimNotOffered, TrainingDataUnusable."""
    from nestvec_exporters.train.captions.composing import read_parts  # noqa: PLC0415 - seconds of imports
    from nestvec_exporters.train.captions.frozen import Frozen  # noqa: PLC0415
    from nestvec_exporters.train.captions.image_cache import read_pictures  # noqa: PLC0415
    from nestvec_exporters.train.captions.loop import Task  # noqa: PLC0415
    from nestvec_exporters.train.captions.pair import Pair  # noqa: PLC0415

    prepared = prepare(data, options.seed)
    pair = Pair(read_parts(run.checkpoint, run.image), options)
    dims = prefixes(options.dims, pair.dim)
    run.hears.stage("reading the pictures")
    levels = read_pictures(data, prepared, pair.how.picture, run.work, run.hears.step)
    frozen = None
    if pair.frozen:
        run.hears.stage("reading the pictures' features")
        frozen = Frozen(pair, levels, options, run.hears.step)
    return Task(pair, prepared, levels, dims, options, frozen)


def _started(task: Task, run: _Run) -> Recalls:
    """Put the towers where training begins, or where it began; their held-out figures there."""
    from nestvec_exporters.train.captions.loop import figures  # noqa: PLC0415 - seconds of imports
    from nestvec_exporters.train.captions.start import project  # noqa: PLC0415
    from nestvec_exporters.train.state import read, save  # noqa: PLC0415

    saved = read(run.work / _START)
    if saved is not None:
        task.pair.load(saved.tensors)
        found: Recalls = saved.record["before"]
        return found
    if run.image is not None:
        project(task, run.hears)
    run.hears.stage("measuring the towers as they are")
    before = figures(task)
    save(run.work / _START, task.pair.weights(), {"before": before})
    return before


def _by_number(read: dict[str, dict[Any, float]]) -> Recalls:
    """Figures as JSON gives them back, with numbers for keys again."""
    return {way: {int(dim): round(one, 4) for dim, one in row.items()} for way, row in read.items()}
