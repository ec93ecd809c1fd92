"""What a run starts from: the checkpoint's own vectors of all texts, and a rotation for its prefixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from nestvec_exporters.architectures import sentence_transformer as sources
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.nesting.fit import ridge
from nestvec_exporters.nesting.ladder import exit_ladder
from nestvec_exporters.nesting.rotation import learned
from nestvec_exporters.nesting.sampling import check_finite
from nestvec_exporters.progress import Listener
from nestvec_exporters.train.loop import Task, figures
from nestvec_exporters.train.measure import held_out, with_teacher
from nestvec_exporters.train.options import AdaptOptions, prefixes
from nestvec_exporters.train.state import read, save, under, within
from nestvec_exporters.train.student import Student
from nestvec_exporters.train.tokens import encode, unknown_id
from nestvec_exporters.training_data import Places, Prepared
from nestvec_schemas.vectors import Matrix, Vectors

START: Final = "start.safetensors"

_ROTATED_ON = 4000
_ROTATION_STEPS = 300
_MAPPED_ON = 3000


@dataclass(frozen=True)
class Started:
    """A task whose student stands where training begins. ``before`` has the figures of the checkpoint as it
    was, cut as it is and with no more than maps to its exits, in JSON's form."""

    task: Task
    before: dict[str, Any]


def begin(
    options: AdaptOptions, prepared: Prepared, checkpoint: Checkpoint, work: Path, hears: Listener
) -> Started:
    """Load the checkpoint and embed the texts as it does, or take from ``work`` what was there already.

    Raises CheckpointUnsupported, DimNotOffered, ExitNotOffered and TrainingDataUnusable.
    """
    source = sources.load(checkpoint)
    dims = prefixes(options.dims, source.dim)
    student = Student(source, exit_ladder(options.exits, source.layers))
    tokenizer = sources.tokenizer(source)
    tokenizer.enable_truncation(sources.max_tokens(source, options.max_tokens))
    ids = encode(tokenizer, prepared.items, source.prompts, unknown_id(source.model.tokenizer))
    saved = read(work / START)
    if saved is None:
        hears.stage("embedding the texts as the checkpoint does")
        vectors = student.embed(ids, hears.step, layers=student.layers[:1])[student.layers[0]]
        check_finite(vectors)
    else:
        vectors = saved.tensors["vectors"].numpy()
    held = held_out(prepared)
    if prepared.kind == "texts":
        held = with_teacher(held, vectors[held.places])
    task = Task(student, _scaled(prepared, vectors), ids, vectors, held, dims, options)
    if saved is None:
        hears.stage("rotating")
        rotation = _rotation(task, hears)
        bridges = _bridges(task, rotation, hears)
        hears.stage("measuring the checkpoint as it is")
        back = {layer: rotation @ bridge @ rotation.T for layer, bridge in bridges.items()}
        student.turn(np.eye(source.dim), back)
        before = asdict(figures(task))
        _save(work / START, vectors, rotation, bridges, before)
    else:
        before, rotation = saved.record, saved.tensors["rotation"].numpy()
        bridges = {int(layer): one.numpy() for layer, one in within("exit", saved.tensors).items()}
    student.turn(rotation, bridges)
    return Started(replace(task, targets=np.asarray(vectors @ rotation, np.float32)), before)


def _save(
    path: Path, vectors: Vectors, rotation: Matrix, bridges: Mapping[int, Matrix], before: dict[str, Any]
) -> None:
    tensors = {"vectors": torch.from_numpy(vectors), "rotation": torch.from_numpy(rotation)}
    exits = {str(layer): torch.from_numpy(one) for layer, one in bridges.items()}
    save(path, {**tensors, **under("exit", exits)}, before)


def _bridges(task: Task, rotation: Matrix, hears: Listener) -> dict[int, Matrix]:
    """Maps from each exit to the space at full depth, by least squares: where exits start from."""
    if len(task.student.layers) < 2:
        return {}
    hears.stage("mapping the exits")
    task.student.turn(rotation, {})
    places = np.unique(task.data.training[:, :2])
    chosen = np.random.default_rng(task.options.seed).permutation(places)[:_MAPPED_ON]
    depth, *exits = task.student.layers
    found = task.student.embed([task.ids[at] for at in chosen], hears.step)
    return {layer: ridge(found[layer], found[depth], None, seed=task.options.seed) for layer in exits}


def _rotation(task: Task, hears: Listener) -> Matrix:
    seed = task.options.seed
    chosen = np.random.default_rng(seed).permutation(np.unique(task.data.documents))[:_ROTATED_ON]
    return learned(
        task.targets[chosen], dims=task.dims[1:], steps=_ROTATION_STEPS, seed=seed, on_step=hears.step
    )


def _scaled(data: Prepared, vectors: Vectors) -> Prepared:
    """A teacher's scores brought to the mean and the spread that cosines of the same rows have.

    A cross-encoder's scores have a scale of their own, a cosine has not.
    """
    if data.scores is None:
        return data
    cosines = _cosines(data.training, vectors)
    spread = float(cosines.std() / data.scores.std())
    scores = (data.scores - data.scores.mean()) * spread + cosines.mean()
    return replace(data, scores=np.asarray(scores, np.float32))


def _cosines(rows: Places, vectors: Vectors) -> NDArray[np.float32]:
    """Of each pair; of each triplet the margin between its two documents."""
    queries = vectors[rows[:, 0]]
    found: NDArray[np.float32] = (queries * vectors[rows[:, 1]]).sum(axis=1)
    return found - (queries * vectors[rows[:, 2]]).sum(axis=1) if rows.shape[1] > 2 else found
