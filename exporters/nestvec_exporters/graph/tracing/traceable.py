"""What transformers computes in ways that a tracer cannot follow, computed otherwise while it traces.

Attention masks: transformers makes a mask from a function of two places. A function that a model adds itself,
such as Gemma 3's window to both sides, it applies under vmap; broadcast over the places, it gives the same.

Mixtures of experts: transformers sorts tokens by the experts that the router chose, or runs the chosen ones
alone. Here every expert reads every token, and the router's weights, 0 for the others, add up what they give.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from torch import Tensor

_MASKS: Final = ("eager", "sdpa")
_EXPERTS: Final = ("eager", "batched_mm", "grouped_mm")


@contextmanager
def traceable_attention_and_experts() -> Iterator[None]:
    """Have transformers make masks by broadcasting, and run every expert of a mixture."""
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS  # noqa: PLC0415 - slow
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS  # noqa: PLC0415

    masks = {name: partial(_broadcast, ALL_MASK_ATTENTION_FUNCTIONS[name]) for name in _MASKS}
    experts = dict.fromkeys(_EXPERTS, run_every_expert)
    with _replaced(ALL_MASK_ATTENTION_FUNCTIONS, masks), _replaced(ALL_EXPERTS_FUNCTIONS, experts):
        yield


@contextmanager
def _replaced(registry: Any, functions: dict[str, Any]) -> Iterator[None]:
    """Put functions before those of a registry of transformers."""
    try:
        for name, function in functions.items():
            registry[name] = function
        yield
    finally:
        for name in functions:
            del registry[name]


def _broadcast(function: Any, *args: Any, use_vmap: bool = False, **options: Any) -> Any:
    del use_vmap
    return function(*args, **options)


def run_every_expert(
    experts: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """What an experts module of transformers gives for tokens, (tokens, hidden): the chosen experts' outputs,
    weighted. Both of ``top_k`` are (tokens, chosen)."""
    first = experts.gate_up_proj if experts.has_gate else experts.up_proj
    first_bias = getattr(experts, "gate_up_proj_bias" if experts.has_gate else "up_proj_bias", None)
    second, second_bias = experts.down_proj, getattr(experts, "down_proj_bias", None)
    gate = experts._apply_gate if experts.has_gate else experts.act_fn
    total = hidden_states.new_zeros(())
    for expert in range(first.shape[0]):
        weights = (top_k_weights * (top_k_index == expert).to(top_k_weights.dtype)).sum(-1, keepdim=True)
        inner = gate(_linear(experts, hidden_states, first, first_bias, expert))
        outer = _linear(experts, inner, second, second_bias, expert)
        if experts.has_post_expert_norm:
            outer = experts.post_expert_norm(outer)
        total = total + outer * weights
    return total.to(hidden_states.dtype)


def _linear(experts: Any, tokens: Tensor, weights: Tensor, biases: Tensor | None, expert: int) -> Tensor:
    matrix = weights[expert] if experts.is_transposed else weights[expert].transpose(0, 1)
    product = tokens @ matrix
    return product + biases[expert] if experts.has_bias and biases is not None else product
