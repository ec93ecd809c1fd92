"""Whether float16 holds the numbers inside a graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.graph.tracing.batches import probe_batches
from nestvec_exporters.probes.texts import MAX_PROBE_TOKENS
from nestvec_schemas.errors import CheckpointUnsupported

_FLOAT16_LIMIT: Final = 32_768.0
"""Half of the largest number that float16 holds."""

_MASK: Final = -1e30
"""Below this is what attention masks have, which float16 cuts to its own smallest number; no harm is done."""

_ARITHMETIC: Final = frozenset(
    {"Add", "Conv", "ConvTranspose", "CumSum", "Div", "Einsum", "Exp", "Gemm", "LayerNormalization", "MatMul"}
    | {"Mul", "ReduceSum", "ReduceSumSquare", "Sub", "Sum"}
)
"""Operators whose result can be larger than what they read."""

_PREFIX: Final = "float16_range."


def check_float16_range(tower: TowerModel, graph: Path, half: Iterable[str]) -> None:
    """Raise CheckpointUnsupported where numbers inside a graph are too large for float16.

    ``graph`` is in float32; ``half`` are the names of the nodes that become float16. The exported graph is
    verified on a CPU, which computes it in float32, so they would not show there.
    """
    import onnxruntime  # noqa: PLC0415 - slow

    observed = graph.with_name("observed.onnx")
    names = _write_observed(graph, observed, frozenset(half))
    if not names:
        return
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Fusing would remove what is observed.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(observed), options, providers=["CPUExecutionProvider"])
    inputs = [item.name for item in session.get_inputs()]
    largest = 0.0
    for batch in probe_batches(tower):
        values = np.array(session.run(names, {name: batch[name] for name in inputs}), np.float64)
        largest = max(largest, float(np.nan_to_num(values, nan=np.inf).max()))
    observed.unlink()
    _check_largest(largest)


def check_module_range(tower: TowerModel, transformer: Any, probes: Sequence[Any]) -> None:
    """The same for a tower that is traced in float16: by what the modules of ``transformer`` give in float32
    for ``probes``."""
    largest = 0.0

    def observe(module: Any, arguments: Any, outputs: Any) -> None:
        nonlocal largest
        for output in outputs if isinstance(outputs, tuple) else (outputs,):
            if hasattr(output, "is_floating_point") and output.is_floating_point() and output.numel():
                largest = max(largest, float(output.abs().max()))

    leaves = [module for module in transformer.modules() if not any(module.children())]
    hooks = [module.register_forward_hook(observe) for module in leaves]
    try:
        tower.reference(probes, min(tower.spec.max_tokens, MAX_PROBE_TOKENS))
    finally:
        for hook in hooks:
            hook.remove()
    _check_largest(largest)


def _check_largest(largest: float) -> None:
    if largest > _FLOAT16_LIMIT:
        raise CheckpointUnsupported(
            "numbers inside the checkpoint come too near the largest that float16 holds, 65,504",
            value=f"{largest:,.0f}",
            next_step="Export it with --precision fp32 or int8.",
        )


def _write_observed(graph: Path, target: Path, half: frozenset[str]) -> list[str]:
    """Write the graph with the largest magnitude of each of its numbers in float16 as another output.

    Returns the names of these outputs. Weights stay in the files that they are in.
    """
    model = onnx.load(str(graph), load_external_data=False)
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    names, added = [], []
    for node in model.graph.node:
        for output in node.output:
            if node.name in half and node.op_type in _ARITHMETIC and kinds.get(output) == TensorProto.FLOAT:
                names.append(f"{_PREFIX}{output}")
                added += _magnitude(output, names[-1])
    constants = {"mask": _MASK, "zero": 0.0}
    model.graph.initializer.extend(
        helper.make_tensor(f"{_PREFIX}{name}", TensorProto.FLOAT, [], [value])
        for name, value in constants.items()
    )
    model.graph.node.extend(added)
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in names)
    onnx.save_model(model, str(target))
    return names


def _magnitude(tensor: str, name: str) -> list[onnx.NodeProto]:
    below, unmasked, absolute = (f"{name}.{step}" for step in ("below", "unmasked", "absolute"))
    return [
        helper.make_node("Less", [tensor, f"{_PREFIX}mask"], [below]),
        helper.make_node("Where", [below, f"{_PREFIX}zero", tensor], [unmasked]),
        helper.make_node("Abs", [unmasked], [absolute]),
        helper.make_node("ReduceMax", [absolute], [name], keepdims=0),
    ]
