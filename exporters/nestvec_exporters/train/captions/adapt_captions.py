"""From a checkpoint, images and captions to a nested checkpoint of two towers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nestvec_exporters.progress import Listener
from nestvec_exporters.train.captions.data import CaptionData, prepare_captions
from nestvec_exporters.train.captions.measure import RECALL_FIGURE, Recalls
from nestvec_exporters.train.captions.options import CaptionOptions
from nestvec_exporters.train.options import training_dims
from nestvec_exporters.train.result import Comparison, DataSummary, TrainingResult
from nestvec_exporters.train.run import RunContext, RunOutcome, Started, run_training

if TYPE_CHECKING:
    from nestvec_exporters.train.captions.objective import CaptionObjective, CaptionTask

_START_FILE: Final = "start.safetensors"


@dataclass(frozen=True, kw_only=True)
class AdaptedTowers(TrainingResult[Recalls]):
    """What training on captions came to."""

    image_checkpoint: str | None
    """The image encoder beside a text encoder."""


def adapt_captions(
    options: CaptionOptions,
    data: CaptionData,
    listener: Listener | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> AdaptedTowers:
    """Train two towers to find images by captions and back, and write them to ``options.output``.

    The new checkpoint appears complete or not at all; a run that was stopped or killed resumes when called
    again with the same arguments, without ``force``. Raises as ``run_training`` does.
    """
    return run_training(_CaptionTraining(options, data), listener, stop)


@dataclass(frozen=True)
class _CaptionTraining:
    """Training on images with captions."""

    options: CaptionOptions
    data: CaptionData

    def check(self) -> None:
        prepare_captions(self.data, self.options.hyperparameters.seed)

    def description(self) -> Mapping[str, Any]:
        options, hyperparameters = self.options, self.options.hyperparameters
        length = hyperparameters.length
        return {
            "data": self.data.digest(),
            "dims": None if options.dims is None else sorted(options.dims),
            "length": [length.epochs, length.steps, length.minutes],
            "batch": [hyperparameters.batch, options.captions],
            "learning rate": hyperparameters.learning_rate,
            "max tokens": hyperparameters.max_tokens,
            "text tower": [options.text.rate, options.text.blocks],
            "image tower": [options.image.rate, options.image.blocks],
            "augmentation": [options.augmentation.moved, options.augmentation.mirrored],
            "seed": hyperparameters.seed,
        }

    def start(self, context: RunContext) -> Started[CaptionObjective]:
        from nestvec_exporters.train.captions.objective import CaptionObjective  # noqa: PLC0415 - slow

        task = self._task(context)
        before = _start(task, context)
        return Started(CaptionObjective(task), before)

    def result(
        self, started: Started[CaptionObjective], context: RunContext, outcome: RunOutcome
    ) -> AdaptedTowers:
        task = started.objective.task
        source, *image = [checkpoint.source for checkpoint in context.checkpoints]
        return AdaptedTowers(
            method="sigmoid loss" if task.model.sigmoid else "InfoNCE",
            checkpoint=source,
            image_checkpoint=image[0] if image else None,
            data=DataSummary(self.data.name, len(task.data.training), len(task.data.held_out)),
            dims=task.dims,
            seed=self.options.hyperparameters.seed,
            progress=outcome.progress,
            comparison=Comparison(RECALL_FIGURE, outcome.before, outcome.after),
        )

    def _task(self, context: RunContext) -> CaptionTask:
        """Load the towers and the images. Raises CheckpointError, DimNotOffered, TrainingDataUnusable."""
        from nestvec_exporters.train.captions.composing import load_dual_parts  # noqa: PLC0415 - slow
        from nestvec_exporters.train.captions.frozen import FrozenFeatures  # noqa: PLC0415
        from nestvec_exporters.train.captions.image_cache import read_images  # noqa: PLC0415
        from nestvec_exporters.train.captions.objective import CaptionTask  # noqa: PLC0415
        from nestvec_exporters.train.captions.two_tower import TwoTowerModel  # noqa: PLC0415

        prepared = prepare_captions(self.data, self.options.hyperparameters.seed)
        model = TwoTowerModel(load_dual_parts(*context.checkpoints), self.options)
        dims = training_dims(self.options.dims, model.dim)
        listener = context.listener
        listener.stage("reading the images")
        size = model.preprocessing.transform
        pixels = read_images(self.data, prepared, size, context.folder, listener.step)
        frozen = None
        if model.frozen:
            listener.stage("computing the images' features")
            frozen = FrozenFeatures(model, pixels, self.options, listener.step)
        return CaptionTask(model, prepared, pixels, dims, options=self.options, frozen=frozen)


def _start(task: CaptionTask, context: RunContext) -> Recalls:
    """Put the towers where training begins, or where it began; the held-out figures there."""
    from nestvec_exporters.train.captions.objective import evaluate_towers  # noqa: PLC0415 - slow
    from nestvec_exporters.train.captions.start import initialise_projections  # noqa: PLC0415
    from nestvec_exporters.train.state import read_state, save_state  # noqa: PLC0415

    saved = read_state(context.folder / _START_FILE)
    if saved is not None:
        task.model.load(saved.tensors)
        restored: Recalls = saved.record["before"]
        return restored
    if len(context.checkpoints) > 1:
        initialise_projections(task, context.listener)
    context.listener.stage("measuring the towers as they are")
    before = evaluate_towers(task)
    save_state(context.folder / _START_FILE, task.model.weights(), {"before": before})
    return before
