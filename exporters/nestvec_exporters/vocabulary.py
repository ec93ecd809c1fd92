"""Weights of words, a row each: a masked language model's logits to one number a word of its vocabulary.

Each takes logits (batch, tokens, words) float32 and a mask (batch, tokens) that is 1 at tokens and 0 at
padding to their right, and gives (batch, words), most of them zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn


def log_relu(logits: Tensor) -> Tensor:
    """log(1 + max(0, x)): SPLADE (Formal et al. 2021, arXiv:2107.05720)."""
    return torch.log1p(torch.relu(logits))


def log_log_relu(logits: Tensor) -> Tensor:
    """log(1 + log(1 + max(0, x))): OpenSearch's neural sparse encoders (arXiv:2504.14839)."""
    return torch.log1p(log_relu(logits))


def elu1p(logits: Tensor) -> Tensor:
    """x + 1 where x is above zero, else e^x: VDR (Zhou et al. 2024, ICLR), whose weights are never zero."""
    return nn.functional.elu(logits) + 1


@dataclass(frozen=True)
class Weighing:
    """How a word's logits at each token become its weight.

    ``activate`` never falls as its argument rises, so that of the largest logit it gives the largest weight.
    ``top`` keeps so many of the largest weights; None keeps all.
    """

    activate: Callable[[Tensor], Tensor]
    over: Literal["max", "sum"] = "max"
    top: int | None = None


WEIGHINGS: dict[str, Weighing] = {
    "splade": Weighing(log_relu),
    "splade_sum": Weighing(log_relu, "sum"),
    "splade_log": Weighing(log_log_relu),
    "splade_log_sum": Weighing(log_log_relu, "sum"),
    "vdr": Weighing(elu1p, top=768),
}
"""By their names in a manifest and for ``--pooling``."""

ACTIVATIONS: dict[tuple[str, str], str] = {
    ("relu", "max"): "splade",
    ("relu", "sum"): "splade_sum",
    ("log1p_relu", "max"): "splade_log",
    ("log1p_relu", "sum"): "splade_log_sum",
}
"""The rows by sentence-transformers' words for them: a SpladePooling's activation and strategy."""


def weigh(how: Weighing, logits: Tensor, mask: Tensor) -> Tensor:
    """The weights of a batch's words, (batch, words)."""
    hidden = mask.unsqueeze(-1) == 0
    if how.over == "max":
        # The largest first: what is activated then is a number a word, and not one a word and token.
        weights = how.activate(logits.masked_fill(hidden, float("-inf")).amax(dim=1))
    else:
        weights = how.activate(logits).masked_fill(hidden, 0.0).sum(dim=1)
    if how.top is None:
        return weights
    kept = torch.topk(weights, min(how.top, int(weights.shape[1])), dim=1)
    return torch.zeros_like(weights).scatter(1, kept.indices, kept.values)


class Words(nn.Module):
    """A masked language model and its weighing: (batch, tokens) int64 ids and mask to (batch, words)."""

    def __init__(self, transformer: Any, how: Weighing, exits: Sequence[int] = ()) -> None:
        super().__init__()
        if exits:
            raise ValueError("a masked language model has its words after its last layer alone")
        self.transformer, self.how = transformer, how

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The weights of a batch padded on the right."""
        logits = self.transformer(input_ids=input_ids, attention_mask=attention_mask).logits
        return (weigh(self.how, logits, attention_mask),)


class Present(nn.Module):
    """Each word's own weight where a text has it: queries that no model reads ("inference-free").

    ``weights`` is (words,); ``silent`` are the ids of tokens that the tokenizer adds by itself.
    """

    def __init__(self, weights: Tensor, silent: Sequence[int], exits: Sequence[int] = ()) -> None:
        super().__init__()
        kept = weights.detach().clone().float()
        kept[list(silent)] = 0.0
        self.weights = nn.Parameter(kept, requires_grad=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The weights of a batch padded on the right."""
        counts = torch.zeros((input_ids.shape[0], self.weights.shape[0]), dtype=torch.float32)
        # Added up, so that padding, which has an id too, takes nothing from a word of that id.
        counts = counts.scatter_add(1, input_ids, attention_mask.to(torch.float32))
        return (counts.clamp(max=1.0) * self.weights,)
