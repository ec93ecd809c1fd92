"""From a checkpoint and texts to the same checkpoint with a linear map before its vectors are normalised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nestvec_exporters.train.options import AdaptOptions, Hyperparameters, RunOutput, training_dims
from nestvec_exporters.train.result import Adapted, Comparison, DataSummary
from nestvec_exporters.train.run import RunContext, RunOutcome, Started
from nestvec_exporters.training_data import TrainingData, prepare_texts
from nestvec_schemas.errors import TrainingDataUnusable
from nestvec_schemas.vectors import Matrix, Vectors

if TYPE_CHECKING:
    from nestvec_exporters.train.linear.objective import LinearObjective
    from nestvec_exporters.train.linear.queries import QueryPairs

METHOD: Final = "linear map"
START_FILE: Final = "start.safetensors"

_ROTATION_STEPS = 200
_MAX_ROTATION_TEXTS = 4000


@dataclass(frozen=True)
class LinearTraining:
    """Training of a linear map on texts, pairs or triplets without scores."""

    options: AdaptOptions
    data: TrainingData

    @property
    def output(self) -> RunOutput:
        return self.options.output

    @property
    def hyperparameters(self) -> Hyperparameters:
        return self.options.hyperparameters

    @property
    def checkpoints(self) -> Sequence[str]:
        return (self.options.checkpoint,)

    def check(self) -> None:
        if self.data.scores is not None:
            raise TrainingDataUnusable(
                "a linear map does not learn from scores",
                value=self.data.name,
                next_step="Omit --scores, or train the encoder: --train encoder.",
            )
        prepare_texts(self.data, self.hyperparameters.seed)

    def description(self) -> Mapping[str, Any]:
        options, hyperparameters = self.options, self.hyperparameters
        length = hyperparameters.length
        return {
            "train": "map",
            "data": self.data.digest(),
            "dims": None if options.dims is None else sorted(options.dims),
            "length": [length.epochs, length.steps, length.minutes],
            "batch": hyperparameters.batch,
            "learning rate": hyperparameters.learning_rate,
            "max tokens": hyperparameters.max_tokens,
            "seed": hyperparameters.seed,
        }

    def start(self, context: RunContext) -> Started[LinearObjective]:
        """Embed the texts and learn a rotation, from which the map starts, or restore both.

        Raises CheckpointUnsupported, DimNotOffered and TrainingDataUnusable.
        """
        from nestvec_exporters.text_encoders import sentence_model as sources  # noqa: PLC0415 - seconds of imports
        from nestvec_exporters.train.linear.objective import (  # noqa: PLC0415
            LinearObjective,
            LinearTask,
            figures_by_exit,
            held_out_ndcg,
        )
        from nestvec_exporters.train.linear.queries import query_pairs  # noqa: PLC0415
        from nestvec_exporters.train.student import Student  # noqa: PLC0415

        source = sources.load(context.checkpoints[0])
        dims = training_dims(self.options.dims, source.dim)
        student = Student(source, (source.layers,))
        pairs = query_pairs(prepare_texts(self.data, self.hyperparameters.seed), self.hyperparameters.seed)
        vectors, rotation = self._vectors_and_rotation(student, pairs, dims, context)
        student.set_maps(rotation, {})
        task = LinearTask(student, pairs, vectors, dims, self.hyperparameters)
        before = figures_by_exit(task, held_out_ndcg(pairs, vectors, dims))
        return Started(LinearObjective(task), before)

    def result(self, started: Started[LinearObjective], context: RunContext, outcome: RunOutcome) -> Adapted:
        task = started.objective.task
        return Adapted(
            method=METHOD,
            checkpoint=context.checkpoints[0].source,
            data=DataSummary(self.data.name, len(task.pairs.training), len(task.pairs.held_out)),
            dims=task.dims,
            layers=task.student.layers,
            seed=self.hyperparameters.seed,
            progress=outcome.progress,
            comparison=Comparison("ndcg@10", outcome.before, outcome.after),
        )

    def _vectors_and_rotation(
        self, student: Any, pairs: QueryPairs, dims: tuple[int, ...], context: RunContext
    ) -> tuple[Vectors, Matrix]:
        import torch  # noqa: PLC0415 - seconds of imports

        from nestvec_exporters.nesting.sampling import check_finite  # noqa: PLC0415
        from nestvec_exporters.train.state import read_state, save_state  # noqa: PLC0415

        path, listener = context.folder / START_FILE, context.listener
        saved = read_state(path)
        if saved is not None:
            return saved.tensors["vectors"].numpy(), saved.tensors["rotation"].numpy()
        ids = self._token_ids(student, pairs)
        listener.stage("embedding the texts with the checkpoint")
        vectors = student.embed(ids, listener.step)[student.layers[0]]
        check_finite(vectors)
        listener.stage("rotating")
        rotation = starting_rotation(
            pairs, vectors, dims[1:], self.hyperparameters.seed, context.listener.step
        )
        save_state(path, {"vectors": torch.from_numpy(vectors), "rotation": torch.from_numpy(rotation)}, {})
        return vectors, rotation

    def _token_ids(self, student: Any, pairs: QueryPairs) -> Any:
        """The texts' token ids, no longer than the checkpoint reads."""
        from nestvec_exporters.text_encoders import sentence_model as sources  # noqa: PLC0415
        from nestvec_exporters.train.tokens import encode_texts, unknown_token_id  # noqa: PLC0415

        source = student.source
        limit = min(self.hyperparameters.max_tokens, sources.max_tokens(source, None))
        tokenizer = sources.tokenizer(source)
        tokenizer.enable_truncation(limit)
        return encode_texts(tokenizer, pairs.texts, source.prompts, unknown_token_id(source.model.tokenizer))


def starting_rotation(
    pairs: QueryPairs,
    vectors: Vectors,
    dims: tuple[int, ...],
    seed: int,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Matrix:
    """The rotation, (d, d), that training starts at: learned from a sample of the training texts' vectors."""
    from nestvec_exporters.nesting.rotation import learn_rotation  # noqa: PLC0415 - seconds of imports

    random = np.random.default_rng(seed)
    documents = random.permutation(pairs.training_documents)[:_MAX_ROTATION_TEXTS]
    queries = random.permutation(np.unique(pairs.training[:, 0]))[: 2 * len(documents)]
    return learn_rotation(
        vectors[np.concatenate([documents, queries])],
        documents=len(documents),
        dims=dims,
        steps=_ROTATION_STEPS,
        seed=seed,
        on_step=on_step,
    )
