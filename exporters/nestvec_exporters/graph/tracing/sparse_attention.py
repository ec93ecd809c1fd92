"""Encoders that attend to some tokens only: written as dense attention under a mask, or refused by name.

A trace would keep the number of blocks or windows of the text that it was made with.
"""

from __future__ import annotations

import math
from types import MethodType
from typing import Any, Final

import torch
from torch import Tensor, nn

from nestvec_schemas.errors import CheckpointUnsupported

_WINDOWED: Final = "LongformerSelfAttention"
_PADDED_TO_WINDOWS: Final = "LongformerModel"


def prepare_sparse_attention(traced: nn.Module, max_tokens: int) -> None:
    """Make the models inside a module ready to be traced for texts of up to ``max_tokens``.

    Longformer's windows become a band of full attention: the same numbers, at a cost that grows with the
    square of a text's length. Raises CheckpointUnsupported where BigBird would attend in blocks.
    """
    for module in traced.modules():
        name = type(module).__name__
        _check_blocks(module, max_tokens)
        if name == _WINDOWED:
            module.forward = MethodType(_banded_attention, module)
        if name == _PADDED_TO_WINDOWS:
            windowed: Any = module
            windowed._pad_to_window_size = _unpadded


def _check_blocks(model: Any, max_tokens: int) -> None:
    """BigBird switches to full attention for a short text, for good: its vectors of long texts depend on what
    it embedded before, and on the lengths of a batch."""
    config: Any = getattr(model, "config", None)
    if getattr(config, "attention_type", None) != "block_sparse" or not hasattr(config, "num_random_blocks"):
        return
    fully = (5 + 2 * config.num_random_blocks) * config.block_size
    if max_tokens > fully:
        raise CheckpointUnsupported(
            f"{type(model).__name__} attends in blocks beyond {fully} tokens, and whether it does "
            "depends on earlier texts",
            value=f"attention_type block_sparse, {max_tokens} tokens",
            next_step=f"Give --max-tokens {fully} or less; or set attention_type to original_full in its "
            "config.json, if the vectors are good.",
        )


def _banded_attention(
    self: Any,
    hidden_states: Tensor,
    *,
    is_index_masked: Tensor,
    attention_mask: Tensor | None = None,
    is_index_global_attn: Tensor | None = None,
    is_global_attn: bool = False,
    output_attentions: bool = False,
) -> tuple[Tensor]:
    """Longformer's local attention (Beltagy et al. 2020), (n, t, hidden): a token sees those that are at most
    ``one_sided_attn_window_size`` away. Raises CheckpointUnsupported for tokens with global attention, which
    a text has none of.
    """
    if is_global_attn:
        raise CheckpointUnsupported(
            "tokens with global attention cannot be exported",
            value=f"{type(self).__name__} of a classifier",
            next_step="Choose another architecture.",
        )
    size = (hidden_states.shape[0], hidden_states.shape[1], self.num_heads, self.head_dim)
    query = (self.query(hidden_states) / math.sqrt(self.head_dim)).view(size).transpose(1, 2)
    key = self.key(hidden_states).view(size).transpose(1, 2)
    value = self.value(hidden_states).view(size).transpose(1, 2)
    places = torch.arange(hidden_states.shape[1], device=hidden_states.device)
    hidden = ((places[None] - places[:, None]).abs() > self.one_sided_attn_window_size)[None, None]
    scores = query @ key.transpose(2, 3)
    scores = scores.masked_fill(hidden | is_index_masked[:, None, None], torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1).masked_fill(is_index_masked[:, None, :, None], 0.0)
    return ((weights @ value).transpose(1, 2).reshape(hidden_states.shape),)


def _unpadded(
    *,
    input_ids: Any,
    attention_mask: Any,
    token_type_ids: Any,
    position_ids: Any,
    inputs_embeds: Any,
    pad_token_id: int,
) -> tuple[Any, ...]:
    """In place of padding to whole windows, which dense attention does not need."""
    return 0, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
