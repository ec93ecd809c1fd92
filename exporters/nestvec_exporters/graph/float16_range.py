"""Whether float16 holds the numbers inside a tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from torch import Tensor, nn

from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.probes.texts import MAX_PROBE_TOKENS
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import Precision

_FLOAT16_LIMIT: Final = 32_768.0
"""Half of the largest number that float16 holds."""

_RANGE_PROBES: Final = 8


def check_float16_range(
    tower: TowerModel, transformer: Any, precision: Precision, probes: Sequence[Any] | None = None
) -> None:
    """Raise CheckpointUnsupported where numbers inside a tower that becomes fp16 are too large for float16.

    The exported graph is verified on a CPU, which computes it in float32, so they would not show there.
    """
    if precision != "fp16":
        return
    largest = 0.0

    def observe(module: nn.Module, arguments: Any, outputs: Any) -> None:
        nonlocal largest
        for output in outputs if isinstance(outputs, tuple) else (outputs,):
            if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
                largest = max(largest, float(output.abs().max()))

    leaves = [module for module in transformer.modules() if not any(module.children())]
    hooks = [module.register_forward_hook(observe) for module in leaves]
    try:
        tower.reference(
            tower.probes()[:_RANGE_PROBES] if probes is None else probes,
            min(tower.spec.max_tokens, MAX_PROBE_TOKENS),
        )
    finally:
        for hook in hooks:
            hook.remove()
    if largest > _FLOAT16_LIMIT:
        raise CheckpointUnsupported(
            "numbers inside the checkpoint come too near the largest that float16 holds, 65,504",
            value=f"{largest:,.0f}",
            next_step="Export it with --precision fp32 or int8.",
        )
