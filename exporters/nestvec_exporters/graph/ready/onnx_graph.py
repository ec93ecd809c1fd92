"""An existing ONNX graph: what it takes and gives, by its declarations and by running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from nestvec_exporters.graph.ready.onnx_file import is_batch_scaled, open_session, precision_of, read_onnx
from nestvec_exporters.graph.tensors import INPUTS
from nestvec_exporters.probes.pairs import TYPE_IDS
from nestvec_schemas.errors import CheckpointUnsupported, nearest
from nestvec_schemas.manifest import Precision
from nestvec_schemas.preprocessing.collate import Array

OutputShape = Literal["tokens", "vector", "score"]

POSITIONS: Final = "position_ids"
"""An input that is derived: 0, 1, 2 … of every row."""

SENTENCE_OUTPUTS: Final = ("sentence_embedding", "sentence_embeddings", "embeddings", "embedding")
_TOKEN_OUTPUTS: Final = ("last_hidden_state", "token_embeddings", "hidden_states")
_LOGIT_OUTPUTS: Final = ("logits", "scores")

_PROBE_LENGTHS: Final = ((3,), (5, 5), (17, 3, 9))
"""Tokens of each text in the batches that a graph is run with."""

_FOREIGN_INPUTS: Final = (
    (("past_key_values", "past.", "use_cache"), "is a decoder's step, which takes past keys and values"),
    (("pixel_values",), "reads images"),
    (("input_features", "input_values"), "reads sounds"),
)

_PADDING_TOLERANCE: Final[Mapping[Precision, float]] = {
    "fp32": 1e-3,
    "fp16": 2e-2,
    "int8": 0.2,
    "int8-dynamic": 1.0,
}
"""How far padding may move a vector, relative to its length; int8's activations move it in any case."""


@dataclass(frozen=True)
class OnnxGraph:
    """A graph as it was found."""

    path: Path

    inputs: Mapping[str, int]
    """Types of its inputs, as ONNX numbers them."""

    output: str
    """The output that is taken."""

    width: int
    """The size of the output's last axis."""

    gives: OutputShape
    """What the output is of each text: a vector per token, one vector, or one logit."""

    normalised: bool
    """Whether the output's vectors have length 1."""

    padding_shows: bool
    """Whether a result depends on padding."""

    batch_scaled: bool
    """Whether int8 activations have one scale per batch."""

    precision: Precision

    sentence_output: str | None = None
    """Another output, which claims to be a text's vector."""

    @property
    def gives_tokens(self) -> bool:
        """Whether the output is one vector per token."""
        return self.gives == "tokens"

    def session(self) -> onnxruntime.InferenceSession:
        """The graph in ONNX Runtime."""
        return open_session(self.path)

    def feeds(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of a batch in the graph's types, with those that are derived."""
        return feeds_of(self.inputs, arrays)


def feeds_of(inputs: Mapping[str, int], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """``arrays``, each (n, t), as a graph's ``inputs``; token types and positions are added where missing."""
    ids = arrays["input_ids"]
    places = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    available = {TYPE_IDS: np.zeros_like(ids), POSITIONS: places, **arrays}
    return {
        name: np.ascontiguousarray(available[name], helper.tensor_dtype_to_np_dtype(kind))
        for name, kind in inputs.items()
    }


def read_graph(path: Path, *, pools: bool, output: str | None = None) -> OnnxGraph:
    """Look at a graph, and run it on inputs of three sizes. Raises CheckpointUnsupported.

    ``pools``: the checkpoint declares how to pool, so that an output of token vectors is taken before others.
    ``output`` names the output to take.
    """
    model = read_onnx(path)
    session = open_session(path)
    inputs = _inputs(model, session)
    ranks = {tensor.name: len(tensor.shape or ()) for tensor in session.get_outputs()}
    chosen = output or _choose_output(ranks, pools=pools)
    if chosen not in ranks:
        raise _no_output(chosen, ranks)
    # Of several shapes: a graph that was written for one of them does not run on the others.
    batches = [_probe_batch(lengths) for lengths in _PROBE_LENGTHS]
    values = [_run_probe(session, inputs, chosen, batch) for batch in batches][-1]
    _check_shape(chosen, values, batches[-1]["input_ids"])
    norms = np.linalg.norm(values.reshape(-1, values.shape[-1]), axis=1)
    precision = precision_of(model)
    return OnnxGraph(
        path=path,
        inputs=inputs,
        output=chosen,
        width=values.shape[-1],
        gives="tokens" if values.ndim == 3 else "score" if values.shape[1] == 1 else "vector",
        normalised=bool(np.abs(norms - 1).max() < 1e-3),
        padding_shows=_depends_on_batch(session, inputs, chosen, values, precision),
        batch_scaled=is_batch_scaled(model),
        precision=precision,
        sentence_output=next((name for name in SENTENCE_OUTPUTS if name in ranks and name != chosen), None),
    )


def _inputs(model: onnx.ModelProto, session: onnxruntime.InferenceSession) -> dict[str, int]:
    """Types of the inputs by name. Raises CheckpointUnsupported for those that no text gives."""
    tensors = session.get_inputs()
    names = [tensor.name for tensor in tensors]
    derivable = (*INPUTS, TYPE_IDS, POSITIONS)
    unknown = [name for name in names if name not in derivable]
    for beginnings, what in _FOREIGN_INPUTS:
        if any(name.startswith(beginnings) for name in names):
            raise CheckpointUnsupported(
                f"the graph {what}",
                value=", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else ""),
                next_step="Choose a graph of a text encoder, or export the checkpoint's weights: "
                "--from weights.",
            )
    if unknown or "input_ids" not in names:
        raise CheckpointUnsupported(
            "the graph's inputs are not a text encoder's",
            value=", ".join(unknown or names),
            next_step=f"Choose a graph of {', '.join(derivable)} alone, or export the checkpoint's weights.",
        )
    fixed = [tensor for tensor in tensors if any(isinstance(size, int) for size in tensor.shape)]
    if fixed:
        raise CheckpointUnsupported(
            "the graph does not run on other sizes than those that it was written for",
            value=f"{fixed[0].name} {list(fixed[0].shape)}",
            next_step="Choose a graph whose batch size and length are dynamic.",
        )
    types = {tensor.name: tensor.type.tensor_type.elem_type for tensor in model.graph.input}
    return {name: types[name] for name in names}


def _probe_batch(lengths: Sequence[int]) -> dict[str, Array]:
    """Texts of these lengths, padded, of ids that every vocabulary has."""
    mask = np.array([[place < length for place in range(max(lengths))] for length in lengths], np.int64)
    ids = np.random.default_rng(0).integers(2, 9, (3, 17))[: len(lengths), : max(lengths)]
    return {"input_ids": np.asarray(ids * mask, np.int64), "attention_mask": mask}


def _run_probe(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, int], output: str, batch: Mapping[str, Array]
) -> Array:
    ids = batch["input_ids"]
    try:
        values = session.run([output], feeds_of(inputs, batch))[0]
    except Exception as error:  # onnxruntime raises classes of its own, without a common root
        raise CheckpointUnsupported(
            f"the graph does not run on {len(ids)} texts of {ids.shape[1]} tokens",
            value=str(error).strip().partition("\n")[0],
            next_step="Choose a graph whose batch size and length are dynamic.",
        ) from error
    return np.asarray(values, np.float32)


def _depends_on_batch(
    session: onnxruntime.InferenceSession,
    inputs: Mapping[str, int],
    output: str,
    values: Array,
    precision: Precision,
) -> bool:
    """Whether a text's vectors beside longer ones differ from those of the text alone."""
    if "attention_mask" not in inputs:
        return True
    batch = _probe_batch(_PROBE_LENGTHS[-1])
    for row, length in enumerate(_PROBE_LENGTHS[-1]):
        alone = {name: array[row : row + 1, :length] for name, array in batch.items()}
        single = _run_probe(session, inputs, output, alone)[0]
        padded = values[row, :length] if values.ndim == 3 else values[row]
        if np.abs(single - padded).max() > _PADDING_TOLERANCE[precision] * np.abs(single).max():
            return True
    return False


def _choose_output(ranks: Mapping[str, int], *, pools: bool) -> str:
    """A text's vector, then logits, then token vectors; else the only one; or an error."""
    orders = (SENTENCE_OUTPUTS, _LOGIT_OUTPUTS, _TOKEN_OUTPUTS)
    for names in (_TOKEN_OUTPUTS, *orders) if pools else orders:
        for name in names:
            if name in ranks:
                return name
    token_outputs = [name for name, rank in ranks.items() if rank == 3]
    if len(ranks) == 1 or len(token_outputs) == 1:
        return next(iter(token_outputs or ranks))
    raise CheckpointUnsupported(
        "the graph has several outputs, and none has a known name",
        value=", ".join(f"{name} (rank {rank})" for name, rank in ranks.items()),
        next_step="Name the one to take: --onnx-output NAME.",
    )


def _no_output(name: str, ranks: Mapping[str, int]) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        "the graph has no output of this name",
        value=name,
        next_step=f"Available: {', '.join(ranks)}.{nearest(name, ranks)}",
    )


def _check_shape(output: str, values: Array, ids: Array) -> None:
    logits = output in _LOGIT_OUTPUTS
    has_shape = values.shape[:1] == ids.shape[:1] and values.shape[:-1] in (ids.shape[:1], ids.shape)
    if has_shape and not (logits and (values.ndim == 3 or values.shape[1] != 1)):
        return
    raise CheckpointUnsupported(
        "the graph is a classifier or a language model: it has neither vectors nor one score"
        if logits
        else "the graph's output is neither one vector per input nor one per token",
        value=f"{output} {list(values.shape)}",
        next_step="Choose the graph of an embedding checkpoint, or of a reranker with one label.",
    )
