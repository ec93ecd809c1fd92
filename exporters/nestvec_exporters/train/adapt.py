"""From a checkpoint and texts to a nested checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec_exporters.progress import Listener
from nestvec_exporters.train.linear.training import LinearTraining
from nestvec_exporters.train.measure import FIGURE_NAMES
from nestvec_exporters.train.options import AdaptOptions
from nestvec_exporters.train.result import Adapted, Comparison, DataSummary
from nestvec_exporters.train.run import RunContext, RunOutcome, Started, run_training
from nestvec_exporters.training_data import TrainingData, prepare_texts
from nestvec_schemas.errors import TrainingDataUnusable

if TYPE_CHECKING:
    from nestvec_exporters.train.objective import TextObjective

_SCORES_FILE = "scores.npy"
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
    """Train a checkpoint so that its prefixes and exits are good vectors, and write it to ``options.output``.

    The new checkpoint appears complete or not at all; a run that was stopped or killed resumes when called
    again with the same arguments, without ``force``. Raises as ``run_training`` does.
    """
    if options.part == "map":
        return run_training(LinearTraining(options, data), listener, stop)
    return run_training(_TextTraining(options, data), listener, stop)


@dataclass(frozen=True)
class _TextTraining:
    """Training on texts, pairs or triplets."""

    options: AdaptOptions
    data: TrainingData

    def check(self) -> None:
        if self.options.teacher is not None and (self.data.kind == "texts" or self.data.scores is not None):
            raise TrainingDataUnusable(
                "a teacher scores pairs or triplets that have no scores yet",
                value=f"{self.data.kind}{' with scores' if self.data.scores else ''}",
                next_step="Omit --teacher, or give --pairs or --triplets without --scores.",
            )
        prepare_texts(self.data, self.options.hyperparameters.seed)

    def description(self) -> Mapping[str, Any]:
        options, hyperparameters = self.options, self.options.hyperparameters
        length = hyperparameters.length
        return {
            "train": "encoder",
            "data": self.data.digest(),
            "dims": None if options.dims is None else sorted(options.dims),
            "exits": sorted(options.exits),
            "length": [length.epochs, length.steps, length.minutes],
            "batch": hyperparameters.batch,
            "learning rate": hyperparameters.learning_rate,
            "max tokens": hyperparameters.max_tokens,
            "seed": hyperparameters.seed,
            "hard negatives": options.hard_negatives,
            "teacher": options.teacher,
        }

    def start(self, context: RunContext) -> Started[TextObjective]:
        from nestvec_exporters.train.start import start_training  # noqa: PLC0415 - seconds of imports

        prepared = prepare_texts(self._scored(context), self.options.hyperparameters.seed)
        return start_training(self.options, prepared, context)

    def result(self, started: Started[TextObjective], context: RunContext, outcome: RunOutcome) -> Adapted:
        task = started.objective.task
        scored = self.data.scores is not None or self.options.teacher is not None
        method = "scores" if scored else self.data.kind
        return Adapted(
            method=_METHODS[method],
            checkpoint=context.checkpoints[0].source,
            data=DataSummary(self.data.name, len(task.data.training), len(task.data.held_out)),
            dims=task.dims,
            layers=task.student.layers,
            seed=self.options.hyperparameters.seed,
            progress=outcome.progress,
            comparison=Comparison(FIGURE_NAMES[method], outcome.before, outcome.after),
        )

    def _scored(self, context: RunContext) -> TrainingData:
        """The data with the teacher's scores if there is a teacher, which scores once in a run."""
        if self.options.teacher is None:
            return self.data
        from nestvec_exporters.train.teacher import teacher_scores  # noqa: PLC0415 - seconds of imports

        path = context.folder / _SCORES_FILE
        if not path.is_file():
            context.listener.stage("scoring with the teacher")
            scores = teacher_scores(
                self.options.teacher,
                self.data.rows,
                self.options.hyperparameters.max_tokens,
                context.listener.step,
            )
            temporary = path.with_name(f"new-{path.name}")
            np.save(temporary, np.asarray(scores))
            temporary.replace(path)
        return replace(self.data, scores=tuple(np.load(path, allow_pickle=False).tolist()))
