"""Pooling modes, one row each: a sentence's token vectors to one vector.

Each takes token vectors (batch, tokens, hidden) float32 and a mask (batch, tokens) that is 1 at tokens
and 0 at padding to their right, and gives (batch, hidden). The names are sentence-transformers'. The mask may
be 0 at tokens on the left too: at a prompt's that pooling leaves out (``PromptMask``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nestvec_exporters.checkpoints.prompts import Prefix
from nestvec_schemas.towers import COUNT_ALL

Pool = Callable[[Tensor, Tensor], Tensor]

_EPSILON = 1e-9


def _weights(tokens: Tensor, mask: Tensor) -> Tensor:
    return mask.unsqueeze(-1).to(tokens.dtype)


def _positions(mask: Tensor) -> Tensor:
    """1, 2, 3 … of every row's tokens."""
    return torch.ones_like(mask).cumsum(dim=1)


def _gather(tokens: Tensor, places: Tensor) -> Tensor:
    # Indexed, not gathered and squeezed: a squeeze of an unknown shape is written as a branch.
    return tokens[torch.arange(tokens.shape[0], device=tokens.device), places]


def _averaged(tokens: Tensor, weights: Tensor) -> Tensor:
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=_EPSILON)


def cls(tokens: Tensor, mask: Tensor) -> Tensor:
    """The first token's vector."""
    return tokens[:, 0]


def first_visible(tokens: Tensor, mask: Tensor) -> Tensor:
    """The vector of the first token that the mask shows."""
    first = (mask.cumsum(dim=1) == 0).sum(dim=1).clamp(max=tokens.shape[1] - 1)
    return _gather(tokens, first)


def mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean over tokens."""
    return _averaged(tokens, _weights(tokens, mask))


def mean_sqrt_len(tokens: Tensor, mask: Tensor) -> Tensor:
    """The sum over tokens, divided by the square root of their number."""
    weights = _weights(tokens, mask)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=_EPSILON).sqrt()


def weighted_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean in which the n-th token weighs n (SGPT, Muennighoff 2022)."""
    return _averaged(tokens, _weights(tokens, mask * _positions(mask)))


def max_pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """The largest number of each component over tokens."""
    return tokens.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)


def last_token(tokens: Tensor, mask: Tensor) -> Tensor:
    """The last token's vector."""
    return _gather(tokens, ((mask * _positions(mask)).amax(dim=1) - 1).clamp(min=0))


POOLING: dict[str, Pool] = {
    "cls": cls,
    "max": max_pool,
    "mean": mean,
    "mean_sqrt_len_tokens": mean_sqrt_len,
    "weightedmean": weighted_mean,
    "lasttoken": last_token,
}


class PromptMask(nn.Module):
    """Ids and mask, (batch, tokens) int64, to the mask that pooling sees: 0 at a prompt's tokens too.

    A row has a prompt where it begins with the prompt's ids; of several it is the longest. The ids decide,
    because Milvus sends a prompt and its text as one string. A row whose mask is COUNT_ALL at its tokens is a
    text without a prompt, even if it starts like one.
    """

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        super().__init__()
        self.prefixes = sorted(prefixes, key=lambda prefix: len(prefix.ids))
        self.width = max(len(prefix.ids) for prefix in prefixes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The mask, (batch, tokens) int64."""
        # A row may be shorter than a prompt; and no id is negative.
        more = torch.full((ids.shape[0], self.width), -1, dtype=ids.dtype, device=ids.device)
        row = torch.cat([ids.masked_fill(mask == 0, -1), more], dim=1)
        hidden = torch.zeros_like(ids[:, :1])
        for prefix in self.prefixes:
            prefix_ids = torch.tensor(prefix.ids, dtype=ids.dtype, device=ids.device)
            same = (row[:, : len(prefix.ids)] == prefix_ids).sum(dim=1, keepdim=True) == len(prefix.ids)
            hidden = torch.where(same, torch.full_like(hidden, prefix.hidden), hidden)
        hidden = torch.where(mask[:, :1] == COUNT_ALL, torch.zeros_like(hidden), hidden)
        mask = mask.clamp(max=1)
        return mask * (_positions(mask) > hidden)


def pools_of(modes: Sequence[str], prompt_mask: PromptMask | None) -> list[Pool]:
    """The poolings of these names; with prompts left out, as sentence-transformers leaves them out."""
    rows = POOLING if prompt_mask is None else {**POOLING, "cls": first_visible}
    return [rows[mode] for mode in modes]
