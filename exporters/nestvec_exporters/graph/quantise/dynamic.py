"""Int8 with activations quantised as they come: one scale per batch, for ONNX Runtime alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from nestvec_exporters.checkpoints.quiet import captured_output
from nestvec_exporters.graph.save import MAX_PROTOBUF_BYTES
from nestvec_exporters.graph.tensors import INPUTS
from nestvec_schemas.errors import EncoderError

_MAX_CONVOLUTION_SHARE: Final = 0.9

_FUSION_ERROR: Final = 0.01
"""Far above what fusing costs, far below what a missing operand does."""

_FATAL: Final = 4
"""onnxruntime's level of logging that says least."""


def quantise_dynamic(graph: Path, target: Path, *, heads: int, hidden: int) -> None:
    """Write ``graph`` with int8 weights to ``target``: per channel, activations quantised dynamically.

    Per channel because one scale per matrix costs far more accuracy (all-MiniLM-L6-v2: mean cosine 0.956
    against 0.993) and no less time. The graph is fused first, so that attention runs in int8 as a whole.
    Activations have one scale per batch, so a text's vector depends a little on what shares its batch
    (alone against among 16: a cosine of 0.985 at least).
    Convolutions stay in float32: quantised dynamically they take 3 to 6 times as long (ResNet-18, ConvNeXt).
    Raises EncoderError where they are most of the graph. ``heads`` is 0 where there is no attention to fuse.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - slow

    convolutions = _convolutions(graph)
    large = sum(path.stat().st_size for path in graph.parent.iterdir()) > MAX_PROTOBUF_BYTES
    fused = target.with_name("fused.onnx")
    source = fuse(graph, fused, heads=heads, hidden=hidden, large=large) if heads else graph
    with captured_output():
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=convolutions,
            use_external_data_format=large,
            # Nodes that fusion added have no inferred type; everything in these graphs is float.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )


def _convolutions(graph: Path) -> list[str]:
    """The names of a graph's convolutions. Raises EncoderError where most of its weights are theirs."""
    read = onnx.load(str(graph), load_external_data=False).graph
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in read.initializer}
    nodes = [node for node in read.node if node.op_type == "Conv"]
    share = sum(sizes.get(node.input[1], 0) for node in nodes) / max(1, sum(sizes.values()))
    if share > _MAX_CONVOLUTION_SHARE:
        raise EncoderError(
            "int8-dynamic would not make this encoder faster: most of its weights are in convolutions, "
            "which have no fast int8 without calibration",
            value=f"{share:.0%} of the weights",
            next_step="Export it with --precision int8, which calibrates, or fp16 for a GPU.",
        )
    return [node.name for node in nodes]


def fuse(graph: Path, target: Path, *, heads: int, hidden: int, large: bool = False) -> Path:
    """Write the graph with attention and norms as single operators of onnxruntime; return its path.

    Return the graph's own path without attention that onnxruntime recognises, or where the result gives other
    vectors: it leaves out the fourth of ERNIE's embeddings.
    """
    from onnxruntime.transformers.optimizer import optimize_model  # noqa: PLC0415 - slow

    with captured_output():
        fused: Any = optimize_model(
            str(graph), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=0
        )
    if not fused.get_fused_operator_statistics().get("Attention"):
        return graph
    fused.save_model_to_file(str(target), use_external_data_format=large)
    return target if _same_vectors(graph, target) else graph


def _same_vectors(graph: Path, fused: Path) -> bool:
    """Whether both graphs give the same for a batch of ids; True for a graph of other inputs."""
    import onnxruntime  # noqa: PLC0415 - slow

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions = [
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for path in (graph, fused)
    ]
    if tuple(item.name for item in sessions[0].get_inputs()) != INPUTS:
        return True
    ids = np.tile(np.arange(1, 4, dtype=np.int64), (2, 4))
    batch = dict(zip(INPUTS, (ids, np.ones_like(ids)), strict=True))
    own, other = (session.run(None, batch)[-1] for session in sessions)
    return bool(np.allclose(own, other, rtol=_FUSION_ERROR, atol=_FUSION_ERROR * np.abs(own).max()))
