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
        return _cut(how, how.activate(logits.masked_fill(hidden, float("-inf")).amax(dim=1)))
    return _cut(how, how.activate(logits).masked_fill(hidden, 0.0).sum(dim=1))


def _cut(how: Weighing, weights: Tensor) -> Tensor:
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


class LargestWords(nn.Module):
    """The same for ``max``, in half the time: of each token and word it computes the product alone."""

    def __init__(self, transformer: Any, how: Weighing, exits: Sequence[int] = ()) -> None:
        super().__init__()
        if exits:
            raise ValueError("a masked language model has its words after its last layer alone")
        self.transformer, self.how = _Largest(transformer), how

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The weights of a batch padded on the right."""
        return (_cut(self.how, self.how.activate(self.transformer(input_ids, attention_mask))),)


class _Largest(nn.Module):
    """Each word's largest logit over a text's tokens.

    Padding is hidden before the projection (it becomes another first token), and the bias, the same at every
    token, is added behind the maximum.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden, _ = projected(self.model, input_ids, attention_mask)
        linear = self.model.get_output_embeddings()
        kept = torch.where(attention_mask.unsqueeze(-1) == 0, hidden[:, :1], hidden)
        largest = nn.functional.linear(kept, linear.weight).amax(dim=1)
        return largest if linear.bias is None else largest + linear.bias


def projected(model: Any, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """What a model's projection onto words is given, (batch, tokens, hidden), and the logits it ends with."""
    given: list[Tensor] = []

    def note(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        given.append(arguments[0])

    hook = model.get_output_embeddings().register_forward_pre_hook(note)
    try:
        logits = model(input_ids=input_ids, attention_mask=attention_mask).logits
    finally:
        hook.remove()
    return given[0], logits


def builder(model: Any, how: Weighing) -> tuple[type[Words] | type[LargestWords], int]:
    """The module that a model's words are traced from, and how many words it has.

    LargestWords where its logits are its output embeddings' product and bias, with nothing behind them.
    """
    ids, mask = torch.tensor([[2, 3, 1, 0]]), torch.tensor([[1, 1, 1, 0]])
    linear = model.get_output_embeddings()
    with torch.no_grad():
        if how.over != "max" or not isinstance(linear, nn.Linear):
            return Words, int(model(input_ids=ids, attention_mask=mask).logits.shape[-1])
        hidden, logits = projected(model, ids, mask)
        same = torch.allclose(linear(hidden), logits, rtol=1e-4, atol=1e-5)
    return LargestWords if same else Words, int(logits.shape[-1])


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
