"""Pooling modes, a row each: a sentence's token vectors to one vector.

Each takes token vectors (batch, tokens, hidden) float32 and a mask (batch, tokens) that is 1 at tokens
and 0 at padding to their right, and gives (batch, hidden). The names are sentence-transformers'.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Pool = Callable[[Tensor, Tensor], Tensor]

_SMALLEST = 1e-9


def _weights(tokens: Tensor, mask: Tensor) -> Tensor:
    return mask.unsqueeze(-1).to(tokens.dtype)


def _averaged(tokens: Tensor, weights: Tensor) -> Tensor:
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=_SMALLEST)


def cls(tokens: Tensor, mask: Tensor) -> Tensor:
    """The first token's vector."""
    return tokens[:, 0]


def mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean over tokens."""
    return _averaged(tokens, _weights(tokens, mask))


def mean_sqrt_len(tokens: Tensor, mask: Tensor) -> Tensor:
    """The sum over tokens, divided by the square root of their number."""
    weights = _weights(tokens, mask)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=_SMALLEST).sqrt()


def weighted_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean in which the n-th token weighs n (SGPT, Muennighoff 2022)."""
    return _averaged(tokens, _weights(tokens, mask * mask.cumsum(dim=1)))


def largest(tokens: Tensor, mask: Tensor) -> Tensor:
    """The largest number of each component over tokens."""
    return tokens.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)


def last_token(tokens: Tensor, mask: Tensor) -> Tensor:
    """The last token's vector."""
    last = (mask.sum(dim=1) - 1).clamp(min=0)
    return tokens.gather(1, last.view(-1, 1, 1).expand(-1, 1, tokens.shape[2])).squeeze(1)


POOLING: dict[str, Pool] = {
    "cls": cls,
    "max": largest,
    "mean": mean,
    "mean_sqrt_len_tokens": mean_sqrt_len,
    "weightedmean": weighted_mean,
    "lasttoken": last_token,
}
