"""An existing ONNX graph: what it takes and gives, and the nodes that are appended to it.

The appended nodes exist in every opset from 7 on, because such graphs come in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.probes.pairs import TYPE_IDS
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.late_interaction import KEEP_INPUT
from nestvec_schemas.manifest import Precision
from nestvec_schemas.preprocessing.collate import Array

_SENTENCE_OUTPUTS: Final = ("sentence_embedding", "sentence_embeddings", "embeddings", "embedding")
_TOKEN_OUTPUTS: Final = ("last_hidden_state", "token_embeddings", "hidden_states")
_LOGIT_OUTPUTS: Final = ("logits", "scores")
_BATCH_SCALED: Final = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "QAttention"})
"""Operators that give the activations of a whole batch one scale."""

_PRECISIONS: dict[int, Precision] = {
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
    TensorProto.FLOAT16: "fp16",
    TensorProto.FLOAT: "fp32",
}
"""Types of weights, narrowest first: the narrowest type of its matrices names a graph's precision."""

_PROBE_IDS: Final = (np.array([[1, 5, 2]], np.int64), np.array([[1, 5, 6, 7, 2], [1, 8, 7, 6, 2]], np.int64))
"""Ids that every vocabulary has, in two shapes that a graph is run with."""


@dataclass(frozen=True)
class OnnxGraph:
    """A graph as it was found."""

    path: Path

    inputs: tuple[str, ...]

    output: str
    """The output that is taken."""

    width: int
    """The size of the output's last axis."""

    gives_tokens: bool
    """Whether the output is one vector per token."""

    gives_score: bool
    """Whether the output is one logit."""

    normalised: bool
    """Whether the output's vectors have length 1."""

    batch_scaled: bool
    """Whether int8 activations have one scale per batch."""

    precision: Precision

    def session(self) -> onnxruntime.InferenceSession:
        return _session(self.path)


def read_graph(path: Path) -> OnnxGraph:
    """Look at a graph, and run it on two inputs. Raises CheckpointUnsupported."""
    model = _loaded(path)
    session = _session(path)
    names = tuple(tensor.name for tensor in session.get_inputs())
    known_inputs = (*INPUTS, TYPE_IDS)
    if "input_ids" not in names or not set(names) <= set(known_inputs):
        raise CheckpointUnsupported(
            "the graph's inputs are not a text encoder's",
            value=", ".join(names),
            next_step=f"Choose a graph of {', '.join(known_inputs)}: one without past keys and positions.",
        )
    output = _output({tensor.name: len(tensor.shape or ()) for tensor in session.get_outputs()})
    # Of two shapes: a graph that was written for one does not run on the other.
    values = [_run_probe(session, names, output, ids) for ids in _PROBE_IDS][-1]
    _check_shape(output, values)
    norms = np.linalg.norm(values.reshape(-1, values.shape[-1]).astype(np.float32), axis=1)
    return OnnxGraph(
        path=path,
        inputs=names,
        output=output,
        width=values.shape[-1],
        gives_tokens=values.ndim == 3,
        gives_score=values.ndim == 2 and values.shape[1] == 1,
        normalised=bool(np.abs(norms - 1).max() < 1e-3),
        batch_scaled=any(node.op_type in _BATCH_SCALED for node in model.graph.node),
        precision=_precision(model),
    )


def _run_probe(session: onnxruntime.InferenceSession, names: Sequence[str], output: str, ids: Array) -> Array:
    feeds = {name: np.zeros_like(ids) if name == TYPE_IDS else np.ones_like(ids) for name in names}
    try:
        return np.asarray(session.run([output], {**feeds, "input_ids": ids})[0])
    except Exception as error:  # onnxruntime raises classes of its own, without a common root
        raise CheckpointUnsupported(
            f"the graph does not run on {len(ids)} texts of {ids.shape[1]} tokens",
            value=str(error).strip().partition("\n")[0],
            next_step="Choose a graph whose batch size and length are dynamic.",
        ) from error


def stated_pooling(files: CheckpointFiles) -> str | None:
    """The pooling that sentence-transformers' ``1_Pooling/config.json`` names; None where there is none."""
    config = files.json("1_Pooling/config.json")
    if isinstance(config.get("pooling_mode"), str):
        return str(config["pooling_mode"])
    names = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    modes = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    return "+".join(names.get(name, name.removeprefix("pooling_mode_")) for name in modes) or None


@dataclass(frozen=True)
class OnnxPooling:
    """A pooling of token vectors, as nodes and in numpy."""

    nodes: Callable[[str, str, str], list[onnx.NodeProto]]
    """Nodes from the tensors of token vectors and float mask to the tensor named last."""

    reference: Callable[[Array], Array]
    """The same of one text without padding: (t, dim) to (dim,)."""


def _cls(tokens: str, mask: str, target: str) -> list[onnx.NodeProto]:
    return [helper.make_node("Gather", [tokens, _ZERO], [target], axis=1)]


def _mean(tokens: str, mask: str, target: str) -> list[onnx.NodeProto]:
    # Products of matrices: sums have their axes in another place in each opset.
    return [
        helper.make_node("Reshape", [mask, _ACROSS], [_name("across")]),
        helper.make_node("Reshape", [mask, _DOWN], [_name("down")]),
        helper.make_node("MatMul", [_name("across"), tokens], [_name("sum")]),
        helper.make_node("MatMul", [_name("across"), _name("down")], [_name("count")]),
        helper.make_node("Div", [_name("sum"), _name("count")], [_name("mean")]),
        helper.make_node("Reshape", [_name("mean"), _FLAT], [target]),
    ]


ONNX_POOLING: dict[str, OnnxPooling] = {
    "cls": OnnxPooling(_cls, lambda tokens: tokens[0]),
    "mean": OnnxPooling(_mean, lambda tokens: tokens.mean(axis=0)),
}


def _name(part: str) -> str:
    return f"nestvec/{part}"


_ZERO, _ACROSS, _DOWN, _FLAT = (_name(part) for part in ("zero", "1xt", "tx1", "flat"))
_SHAPES: dict[str, Any] = {_ZERO: 0, _ACROSS: [0, 1, -1], _DOWN: [0, -1, 1], _FLAT: [0, -1]}
"""Reshape's 0 keeps an axis, and its -1 takes the rest."""


def append_outputs(
    model: onnx.ModelProto, graph: OnnxGraph, pooling: str, inputs: Sequence[str], *, normalised: bool
) -> None:
    """Append to a graph what makes its output the service's, in place.

    ``pooling`` is a row of ONNX_POOLING, ``tokens`` (those that KEEP_INPUT keeps), or else the output stays
    as it is; ``normalised`` brings vectors to length 1. An input that is not among ``inputs`` is made inside.
    """
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in _SHAPES.items()]
    _rename_tensor(model, OUTPUT)
    first = _name("given") if graph.output == OUTPUT else graph.output
    nodes = [helper.make_node("Cast", [first], [_name("float")], to=TensorProto.FLOAT)]
    last = _name("float")
    if pooling in ONNX_POOLING:
        nodes.append(helper.make_node("Cast", ["attention_mask"], [_name("mask")], to=TensorProto.FLOAT))
        nodes += ONNX_POOLING[pooling].nodes(last, _name("mask"), _name("pooled"))
        last = _name("pooled")
    if normalised:
        nodes.append(helper.make_node("LpNormalization", [last], [_name("unit")], axis=-1, p=2))
        last = _name("unit")
    if pooling == "tokens":
        nodes.append(helper.make_node("Cast", [KEEP_INPUT], [_name(KEEP_INPUT)], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Reshape", [_name(KEEP_INPUT), _DOWN], [_name("kept")]))
        nodes.append(helper.make_node("Mul", [last, _name("kept")], [_name("answer")]))
        last = _name("answer")
    nodes.append(helper.make_node("Identity", [last], [OUTPUT]))
    before = [] if TYPE_IDS in inputs or TYPE_IDS not in graph.inputs else [_zero_token_types()]
    ordered = [*before, *model.graph.node, *nodes]
    _replace(model.graph.node, ordered)
    _replace(model.graph.initializer, [*model.graph.initializer, *constants])
    axes = ["batch", "tokens"]
    _replace(
        model.graph.input, [helper.make_tensor_value_info(value, TensorProto.INT64, axes) for value in inputs]
    )
    shape: list[str | int | None] = ["batch", *(["tokens"] if pooling == "tokens" else []), graph.width]
    _replace(model.graph.output, [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)])


def _zero_token_types() -> onnx.NodeProto:
    """The token types of a text that stands alone."""
    return helper.make_node("Sub", ["input_ids", "input_ids"], [TYPE_IDS])


def _rename_tensor(model: onnx.ModelProto, name: str) -> None:
    """Rename what the graph already calls ``name``."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for at, tensor in enumerate(names):
                names[at] = _name("given") if tensor == name else tensor


def _replace(field: Any, values: Sequence[Any]) -> None:
    copies = [type(message).FromString(message.SerializeToString()) for message in values]
    del field[:]
    field.extend(copies)


def _loaded(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's and onnx's own
        raise CheckpointUnsupported(
            f"{path.name} is not an ONNX graph", value=str(error), next_step="Download it again."
        ) from error


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as in ``read``
        raise CheckpointUnsupported(
            f"ONNX Runtime cannot load {path.name}",
            value=str(error).strip().partition("\n")[0],
            next_step="Download it again, with the weight files beside it.",
        ) from error


def _output(ranks: dict[str, int]) -> str:
    """Which output is taken: a sentence's vector, then logits, then token vectors; else the only one."""
    for names in (_SENTENCE_OUTPUTS, _LOGIT_OUTPUTS, _TOKEN_OUTPUTS):
        for name in names:
            if name in ranks:
                return name
    if len(ranks) == 1:
        return next(iter(ranks))
    token_outputs = [name for name, rank in ranks.items() if rank == 3]
    if len(token_outputs) == 1:
        return token_outputs[0]
    raise CheckpointUnsupported(
        "the graph has several outputs, and none has a known name",
        value=", ".join(ranks),
        next_step=f"Name it one of {', '.join((*_SENTENCE_OUTPUTS, *_LOGIT_OUTPUTS, *_TOKEN_OUTPUTS))}.",
    )


def _check_shape(output: str, values: Array) -> None:
    logits = output in _LOGIT_OUTPUTS
    if values.ndim in (2, 3) and not (logits and (values.ndim == 3 or values.shape[1] != 1)):
        return
    raise CheckpointUnsupported(
        "the graph is a classifier or a language model: it has neither vectors nor one score"
        if logits
        else "the graph's output is neither one vector per input nor one per token",
        value=f"{output} {list(values.shape)}",
        next_step="Choose the graph of an embedding checkpoint, or of a reranker with one label.",
    )


def _precision(model: onnx.ModelProto) -> Precision:
    """By the graph's matrices: vectors, such as biases, may be wider."""
    kinds = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1}
    precision = next((name for kind, name in _PRECISIONS.items() if kind in kinds), None)
    if precision is None or any(node.op_type == "MatMulNBits" for node in model.graph.node):
        raise CheckpointUnsupported(
            "the graph's weights have an unsupported type",
            value=", ".join(sorted({TensorProto.DataType.Name(kind) for kind in kinds})) or "no matrices",
            next_step="Choose the graph in fp32, fp16 or int8.",
        )
    return precision
