"""Where training on texts starts: the checkpoint's vectors of all texts, a rotation, and exit maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from nestvec_exporters.nesting.fit import fit_ridge
from nestvec_exporters.nesting.ladder import exit_ladder
from nestvec_exporters.nesting.rotation import learn_rotation
from nestvec_exporters.nesting.sampling import check_finite
from nestvec_exporters.progress import Listener
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.text_encoders.sentence_model import SentenceModel
from nestvec_exporters.train.measure import held_out_rows, with_teacher_neighbours
from nestvec_exporters.train.objective import TextObjective, TextTask, evaluate_student
from nestvec_exporters.train.options import AdaptOptions, training_dims
from nestvec_exporters.train.run import RunContext, Started
from nestvec_exporters.train.state import add_prefix, read_state, save_state, strip_prefix
from nestvec_exporters.train.student import Student
from nestvec_exporters.train.tokens import TokenIds, encode_texts, unknown_token_id
from nestvec_exporters.training_data import Indices, PreparedTexts
from nestvec_schemas.vectors import Matrix, Vectors

START_FILE: Final = "start.safetensors"

_MAX_ROTATION_TEXTS = 4000
_ROTATION_STEPS = 300
_MAX_EXIT_MAP_TEXTS = 3000


def start_training(
    options: AdaptOptions, prepared: PreparedTexts, context: RunContext
) -> Started[TextObjective]:
    """Load the checkpoint and embed the texts as it does, or restore both from the run's folder.

    ``before`` has the figures of the checkpoint as it was, truncated as it is and with no more than linear
    maps at its exits. Raises CheckpointUnsupported, DimNotOffered, ExitNotOffered and TrainingDataUnusable.
    """
    listener, path = context.listener, context.folder / START_FILE
    source = sources.load(context.checkpoints[0])
    dims = training_dims(options.dims, source.dim)
    student = Student(source, exit_ladder(options.exits, source.layers))
    ids = _token_ids(source, prepared, options.hyperparameters.max_tokens)
    saved = read_state(path)
    if saved is None:
        listener.stage("embedding the texts with the checkpoint")
        vectors = student.embed(ids, listener.step, layers=student.layers[:1])[student.layers[0]]
        check_finite(vectors)
    else:
        vectors = saved.tensors["vectors"].numpy()
    held_out = held_out_rows(prepared)
    if prepared.kind == "texts":
        held_out = with_teacher_neighbours(held_out, vectors[held_out.text_indices])
    task = TextTask(
        student=student,
        data=_with_scaled_scores(prepared, vectors),
        ids=ids,
        targets=vectors,
        held_out=held_out,
        dims=dims,
        options=options,
    )
    if saved is None:
        listener.stage("rotating")
        rotation = _learn_rotation(task, listener)
        exit_maps = _fit_exit_maps(task, rotation, listener)
        listener.stage("measuring the checkpoint as it is")
        unrotated_maps = {layer: rotation @ matrix @ rotation.T for layer, matrix in exit_maps.items()}
        student.set_maps(np.eye(source.dim), unrotated_maps)
        before = asdict(evaluate_student(task))
        _save_start(path, vectors, rotation, exit_maps, before)
    else:
        before, rotation = saved.record, saved.tensors["rotation"].numpy()
        restored = strip_prefix("exit", saved.tensors)
        exit_maps = {int(layer): matrix.numpy() for layer, matrix in restored.items()}
    student.set_maps(rotation, exit_maps)
    task = replace(task, targets=np.asarray(vectors @ rotation, np.float32))
    return Started(TextObjective(task), before)


def _token_ids(source: SentenceModel, prepared: PreparedTexts, max_tokens: int) -> TokenIds:
    """The texts' token ids. Raises CheckpointUnsupported and TrainingDataUnusable."""
    tokenizer = sources.tokenizer(source)
    tokenizer.enable_truncation(sources.max_tokens(source, max_tokens))
    unknown = unknown_token_id(source.model.tokenizer)
    return encode_texts(tokenizer, prepared.texts, source.prompts, unknown)


def _save_start(
    path: Path, vectors: Vectors, rotation: Matrix, exit_maps: Mapping[int, Matrix], before: dict[str, Any]
) -> None:
    tensors = {"vectors": torch.from_numpy(vectors), "rotation": torch.from_numpy(rotation)}
    exits = {str(layer): torch.from_numpy(matrix) for layer, matrix in exit_maps.items()}
    save_state(path, {**tensors, **add_prefix("exit", exits)}, before)


def _fit_exit_maps(task: TextTask, rotation: Matrix, listener: Listener) -> dict[int, Matrix]:
    """Maps from each exit to the space at full depth, by least squares; exits start from them."""
    if len(task.student.layers) < 2:
        return {}
    listener.stage("mapping the exits")
    task.student.set_maps(rotation, {})
    indices = np.unique(task.data.training[:, :2])
    chosen = np.random.default_rng(task.options.hyperparameters.seed).permutation(indices)[
        :_MAX_EXIT_MAP_TEXTS
    ]
    depth, *exits = task.student.layers
    vectors = task.student.embed([task.ids[index] for index in chosen], listener.step)
    return {
        layer: fit_ridge(vectors[layer], vectors[depth], None, seed=task.options.hyperparameters.seed)
        for layer in exits
    }


def _learn_rotation(task: TextTask, listener: Listener) -> Matrix:
    seed = task.options.hyperparameters.seed
    chosen = np.random.default_rng(seed).permutation(np.unique(task.data.documents))[:_MAX_ROTATION_TEXTS]
    return learn_rotation(
        task.targets[chosen], dims=task.dims[1:], steps=_ROTATION_STEPS, seed=seed, on_step=listener.step
    )


def _with_scaled_scores(data: PreparedTexts, vectors: Vectors) -> PreparedTexts:
    """The data with a teacher's scores scaled to the mean and the spread of the same rows' cosines.

    A cross-encoder's scores have a scale of their own; a cosine's is fixed.
    """
    if data.scores is None:
        return data
    cosines = _cosines_or_margins(data.training, vectors)
    spread = float(cosines.std() / data.scores.std())
    scores = (data.scores - data.scores.mean()) * spread + cosines.mean()
    return replace(data, scores=np.asarray(scores, np.float32))


def _cosines_or_margins(rows: Indices, vectors: Vectors) -> NDArray[np.float32]:
    """The cosine of each pair; of each triplet, the margin between its two documents."""
    queries = vectors[rows[:, 0]]
    cosines: NDArray[np.float32] = (queries * vectors[rows[:, 1]]).sum(axis=1)
    return cosines - (queries * vectors[rows[:, 2]]).sum(axis=1) if rows.shape[1] > 2 else cosines
