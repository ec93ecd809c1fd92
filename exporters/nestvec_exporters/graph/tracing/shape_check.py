"""Whether a traced graph takes inputs of other shapes than those that it was traced with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.graph.tracing.batches import probe_batches
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import cosines

_MIN_COSINE: Final = 0.999
"""Far below what tracing costs, far above what a shape that was fixed leaves."""

_FATAL: Final = 4
_NODE: Final = re.compile(r"Name:'([^']+)'")


def check_shapes(tower: TowerModel, module: nn.Module, graph: Path) -> None:
    """Raise CheckpointUnsupported if the graph fails, or differs from ``module``, for other shapes.

    A tracer follows one pass: loops over tokens, blocks of tokens and Python's own numbers become constants
    of the graph.
    """
    import onnxruntime  # noqa: PLC0415 - slow

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    shapes = "any input"
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        names = [item.name for item in session.get_inputs()]
        for batch in probe_batches(tower):
            shapes = ", ".join(f"{name} {'×'.join(map(str, array.shape))}" for name, array in batch.items())
            with torch.no_grad():
                tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in batch.values())
                expected = _last(module(*tensors)).numpy()
            exported = session.run(None, {name: batch[name] for name in names})[-1]
            if not _agree(expected, exported):
                raise _frozen(module, f"it gives other vectors for {shapes}")
    except CheckpointUnsupported:
        raise
    except Exception as error:  # onnxruntime's own, by the operator that fails
        node = _NODE.search(str(error))
        reason = f"it fails at {node[1]}" if node else str(error).strip().partition("\n")[0][:200]
        raise _frozen(module, f"{reason} for {shapes}") from error


def _last(outputs: Any) -> torch.Tensor:
    last: torch.Tensor = outputs[-1] if isinstance(outputs, tuple | list) else outputs
    return last


def _agree(expected: Array, exported: Array) -> bool:
    if expected.shape != exported.shape:
        return False
    if not np.isfinite(expected).all():
        return True  # the verification says so better
    width = expected.shape[-1]
    if width == 1:  # a score
        return bool(np.allclose(expected, exported, rtol=0.01, atol=0.01))
    flat, other = expected.reshape(-1, width), exported.reshape(-1, width)
    present = flat.any(axis=1) | other.any(axis=1)
    similarities = np.nan_to_num(cosines(flat[present], other[present]), nan=-1.0)
    return not present.any() or float(similarities.min()) >= _MIN_COSINE


def _frozen(module: nn.Module, value: str) -> CheckpointUnsupported:
    transformer = getattr(module, "transformer", module)
    return CheckpointUnsupported(
        f"the graph of {type(transformer).__name__} works only for the shapes that it was traced with",
        value=value,
        next_step="Choose another architecture: this class computes with the number of tokens in Python, "
        "which a traced graph keeps as a constant.",
    )
