"""Attention, layer norms and activations as single operators of ONNX Runtime, which GPUs have kernels for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from nestvec_exporters.checkpoints.quiet import captured_output
from nestvec_exporters.graph.save import save_graph
from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.graph.tracing.batches import probe_batches
from nestvec_schemas.preprocessing.collate import Array

DOMAIN: Final = "com.microsoft"
"""The operators that ONNX Runtime has beyond the standard; TensorRT reads none of them."""

AttentionOperator = Literal["MultiHeadAttention", "Attention"]
"""Attention behind three projections, or with the three as one matrix."""

_MAX_DIFFERENCE: Final = 1e-4
"""Of the largest number of an output, in float32. A fusion moves sums about: 4e-7; a missing mask: 0.2."""

_FATAL: Final = 4
"""onnxruntime's level of logging that says least."""


@dataclass(frozen=True)
class FusedGraph:
    """A graph after fusion."""

    path: Path
    """The fused graph, or the original where nothing could be fused."""

    operators: Mapping[str, int] = field(default_factory=dict)
    """How many of each of ONNX Runtime's own operators it has; empty for the original."""

    @property
    def attentions(self) -> int:
        """How many layers have their attention as one operator."""
        return sum(count for name, count in self.operators.items() if name.endswith("Attention"))

    def __str__(self) -> str:
        """``6 MultiHeadAttention, 12 SkipLayerNormalization``."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.operators.items()))


def fuse_transformer(
    tower: TowerModel, graph: Path, target: Path, attention: AttentionOperator = "MultiHeadAttention"
) -> FusedGraph:
    """Write the float32 ``graph`` of ``tower`` to ``target`` with what ONNX Runtime's optimiser can fuse.

    Both graphs are run in float32 on the CPU, on padded batches of the tower's probes. Where they differ, or
    no attention is fused, the result is the original graph: norms alone gain little, and RMS norms as single
    operators would square in float16.
    """
    optimised = _optimised(tower, graph, attention)
    fused = FusedGraph(target, _own_operators(optimised))
    if not fused.attentions:
        return FusedGraph(graph)
    _name_by_outputs(optimised.graph)
    _declare_domain(optimised)
    save_graph(optimised, target)
    return fused if _same_outputs(tower, graph, target) else FusedGraph(graph)


def pack_sequences(graph: Path, target: Path) -> FusedGraph:
    """Write a graph with fused attention to ``target`` so that its layers compute no padding.

    ``RemovePadding`` before the first layer makes one row of all tokens, ``RestorePadding`` after the last
    undoes it. Only ONNX Runtime's CUDA provider has these operators, so the result cannot be compared with
    anything on a CPU. The result is the original graph where attention is not fused.
    """
    from onnxruntime.transformers.convert_to_packing_mode import (  # noqa: PLC0415 - slow
        PackingMode,
    )
    from onnxruntime.transformers.onnx_model import OnnxModel  # noqa: PLC0415

    packed = OnnxModel(onnx.load(str(graph)))
    with captured_output():
        PackingMode(packed).convert(use_symbolic_shape_infer=False)
        packed.topological_sort()
    operators = _own_operators(packed.model)
    if not operators["RestorePadding"]:
        return FusedGraph(graph)
    _declare_domain(packed.model)
    save_graph(packed.model, target)
    return FusedGraph(target, operators)


def _own_operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node if node.domain == DOMAIN)


def _optimised(tower: TowerModel, graph: Path, attention: AttentionOperator) -> onnx.ModelProto:
    from onnxruntime.transformers.fusion_options import FusionOptions  # noqa: PLC0415 - slow
    from onnxruntime.transformers.optimizer import optimize_model  # noqa: PLC0415 - slow

    # The optimiser's names of the patterns, not of architectures: with a mask, or without.
    pattern = "bert" if "attention_mask" in tower.example else "vit"
    options = FusionOptions(pattern)
    options.use_multi_head_attention = attention == "MultiHeadAttention"
    with captured_output():
        optimised: Any = optimize_model(
            str(graph),
            model_type=pattern,
            num_heads=tower.heads,
            hidden_size=tower.hidden,
            opt_level=0,
            optimization_options=options,
        )
    model: onnx.ModelProto = optimised.model
    return model


def _name_by_outputs(graph: onnx.GraphProto) -> None:
    """Name new nodes after what they compute, as the tracer does: ``convert_fp16`` goes by the names."""
    for node in graph.node:
        if not node.name.startswith("/") and node.output[0].startswith("/"):
            node.name = f"{node.output[0]}/fused"


def _declare_domain(model: onnx.ModelProto) -> None:
    """Declare the operators' domain, and the type of what each gives: inference of types, which converting to
    float16 needs, stops at operators that are not standard."""
    if all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    graph = model.graph
    declared = {value.name for value in (*graph.value_info, *graph.output)}
    for node in graph.node:
        if node.domain == DOMAIN and node.output[0] not in declared:
            graph.value_info.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None))


def _same_outputs(tower: TowerModel, graph: Path, fused: Path) -> bool:
    """Whether both graphs give the same for padded batches of the tower's probes, from every output."""
    import onnxruntime  # noqa: PLC0415 - slow

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions = [
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for path in (graph, fused)
    ]
    inputs = [item.name for item in sessions[0].get_inputs()]
    for batch in probe_batches(tower):
        arrays = _with_shorter_rows({name: batch[name] for name in inputs})
        for own, other in zip(*(session.run(None, arrays) for session in sessions), strict=True):
            limit = _MAX_DIFFERENCE * max(1e-6, float(np.abs(own).max()))
            if own.shape != other.shape or not np.allclose(own, other, rtol=0.0, atol=limit):
                return False
    return True


def _with_shorter_rows(batch: Mapping[str, Array]) -> dict[str, Array]:
    """The batch, and each of its texts once more as one of half its length: batches of equal lengths would
    not show that a fusion dropped the mask."""
    doubled = {name: np.concatenate([array, array]) for name, array in batch.items()}
    mask = doubled.get("attention_mask")
    if mask is not None and mask.shape[1] > 1:
        mask[len(mask) // 2 :, (mask.shape[1] + 1) // 2 :] = 0
    return doubled
