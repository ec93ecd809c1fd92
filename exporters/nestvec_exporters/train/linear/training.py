"""From a checkpoint and texts to the same checkpoint with a linear map before its vectors are normalised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nestvec_exporters.train.linear.compatible import aligning_matrix, check_length
from nestvec_exporters.train.options import AdaptOptions, training_dims
from nestvec_exporters.train.result import Adapted, Comparison, CompatibleWith, DataSummary
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
class _Beginning:
    """Where training begins."""

    vectors: Vectors
    """The checkpoint's vectors of the texts, (n, d)."""

    matrix: Matrix
    """The map's first value, (d, d)."""

    old: Vectors | None = None
    """The old encoder's vectors of the texts, (n, d)."""


@dataclass(frozen=True)
class LinearTraining:
    """Training of a linear map on texts, pairs or triplets without scores."""

    options: AdaptOptions
    data: TrainingData

    def check(self) -> None:
        if self.data.scores is not None:
            raise TrainingDataUnusable(
                "a linear map does not learn from scores",
                value=self.data.name,
                next_step="Omit --scores, or train the encoder: --train encoder.",
            )
        prepare_texts(self.data, self.options.hyperparameters.seed)

    def description(self) -> Mapping[str, Any]:
        options, hyperparameters = self.options, self.options.hyperparameters
        old = options.compatible_with
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
            "compatible with": old.fingerprint if old is not None else None,
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
        if self.options.compatible_with is not None:
            check_length(self.options.compatible_with, source.dim)
        seed = self.options.hyperparameters.seed
        pairs = query_pairs(prepare_texts(self.data, seed), seed)
        begin = self._begin(student, pairs, dims, context)
        student.set_maps(begin.matrix, {})
        task = LinearTask(student, pairs, begin.vectors, dims, self.options.hyperparameters, old=begin.old)
        on_old = None if begin.old is None else held_out_ndcg(pairs, begin.old, dims)
        before = figures_by_exit(task, held_out_ndcg(pairs, begin.vectors, dims), on_old)
        return Started(LinearObjective(task), before)

    def result(self, started: Started[LinearObjective], context: RunContext, outcome: RunOutcome) -> Adapted:
        task, old = started.objective.task, self.options.compatible_with
        return Adapted(
            method=METHOD,
            checkpoint=context.checkpoints[0].source,
            data=DataSummary(self.data.name, len(task.pairs.training), len(task.pairs.held_out)),
            dims=task.dims,
            layers=task.student.layers,
            seed=self.options.hyperparameters.seed,
            progress=outcome.progress,
            comparison=Comparison("ndcg@10", outcome.before, outcome.after),
            compatible_with=None if old is None else CompatibleWith(old.name, old.fingerprint),
        )

    def _begin(
        self, student: Any, pairs: QueryPairs, dims: tuple[int, ...], context: RunContext
    ) -> _Beginning:
        """The texts' vectors and the map that training starts at, computed or restored."""
        import torch  # noqa: PLC0415 - seconds of imports

        from nestvec_exporters.nesting.sampling import check_finite  # noqa: PLC0415
        from nestvec_exporters.train.state import read_state, save_state  # noqa: PLC0415

        path, listener = context.folder / START_FILE, context.listener
        saved = read_state(path)
        if saved is not None:
            return _Beginning(**{name: tensor.numpy() for name, tensor in saved.tensors.items()})
        ids = self._token_ids(student, pairs)
        listener.stage("embedding the texts with the checkpoint")
        vectors = student.embed(ids, listener.step)[student.layers[0]]
        check_finite(vectors)
        old_encoder = self.options.compatible_with
        if old_encoder is None:
            listener.stage("rotating")
            rotation = starting_rotation(
                pairs, vectors, dims[1:], self.options.hyperparameters.seed, context.listener.step
            )
            begin = _Beginning(vectors, rotation)
        else:
            listener.stage(f"embedding the texts with {old_encoder.name}")
            old = old_encoder.embed(pairs.texts, listener.step)
            learned = np.unique(pairs.training)
            begin = _Beginning(vectors, aligning_matrix(old[learned], vectors[learned]), old)
        arrays = {name: array for name, array in vars(begin).items() if array is not None}
        save_state(path, {name: torch.from_numpy(array) for name, array in arrays.items()}, {})
        return begin

    def _token_ids(self, student: Any, pairs: QueryPairs) -> Any:
        """The texts' token ids, no longer than the checkpoint reads."""
        from nestvec_exporters.text_encoders import sentence_model as sources  # noqa: PLC0415
        from nestvec_exporters.train.tokens import encode_texts, unknown_token_id  # noqa: PLC0415

        source = student.source
        limit = min(self.options.hyperparameters.max_tokens, sources.max_tokens(source, None))
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
