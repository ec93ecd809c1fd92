"""Lowering a graph's precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from nestvec_exporters.graph import PROTOBUF_BYTES


def quantise(graph: Path, target: Path, *, heads: int, hidden: int) -> None:
    """Write ``graph`` with int8 weights to ``target``: per channel, activations quantised as they come.

    Per channel because one scale a matrix costs far more accuracy (all-MiniLM-L6-v2: mean cosine 0.956
    against 0.993) and no less time. The graph is fused first, so that attention runs in int8 as a whole.
    Activations have one scale a batch, so a text's vector depends a little on what shares its batch
    (alone against among 16: a cosine of 0.985 at least).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - slow

    large = sum(path.stat().st_size for path in graph.parent.iterdir()) > PROTOBUF_BYTES
    quantize_dynamic(
        fuse(graph, target.with_name("fused.onnx"), heads=heads, hidden=hidden, large=large),
        target,
        weight_type=QuantType.QInt8,
        per_channel=True,
        use_external_data_format=large,
        # Nodes that fusion added have no inferred type; everything in these graphs is float.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def fuse(graph: Path, target: Path, *, heads: int, hidden: int, large: bool = False) -> Path:
    """Write the graph with attention and norms as single operators of onnxruntime; give its path.

    Where it has no attention that onnxruntime recognises, that is the graph as it is.
    """
    from onnxruntime.transformers.optimizer import optimize_model  # noqa: PLC0415 - slow

    fused: Any = optimize_model(
        str(graph), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=0
    )
    if not fused.get_fused_operator_statistics().get("Attention"):
        return graph
    fused.save_model_to_file(str(target), use_external_data_format=large)
    return target
