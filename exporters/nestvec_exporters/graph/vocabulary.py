"""Term weightings, one row each: a masked language model's logits to one weight per word of its vocabulary.

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
class TermWeighting:
    """How a word's logits at each token become its weight."""

    activate: Callable[[Tensor], Tensor]
    """Monotonic, so that the largest logit gives the largest weight."""

    reduction: Literal["max", "sum"] = "max"
    """Over tokens."""

    top: int | None = None
    """The number of largest weights to keep; None keeps all."""


TERM_WEIGHTINGS: dict[str, TermWeighting] = {
    "splade": TermWeighting(log_relu),
    "splade_sum": TermWeighting(log_relu, "sum"),
    "splade_log": TermWeighting(log_log_relu),
    "splade_log_sum": TermWeighting(log_log_relu, "sum"),
    "vdr": TermWeighting(elu1p, top=768),
}
"""By their names in a manifest and for ``--pooling``."""

ACTIVATIONS: dict[tuple[str, str], str] = {
    ("relu", "max"): "splade",
    ("relu", "sum"): "splade_sum",
    ("log1p_relu", "max"): "splade_log",
    ("log1p_relu", "sum"): "splade_log_sum",
}
"""The rows by sentence-transformers' words for them: a SpladePooling's activation and strategy."""


def weight_terms(weighting: TermWeighting, logits: Tensor, mask: Tensor) -> Tensor:
    """The weights of a batch's words, (batch, words)."""
    hidden = mask.unsqueeze(-1) == 0
    if weighting.reduction == "max":
        # Reduce before activating: one number per word, not one per word and token.
        return _top_terms(
            weighting, weighting.activate(logits.masked_fill(hidden, float("-inf")).amax(dim=1))
        )
    return _top_terms(weighting, weighting.activate(logits).masked_fill(hidden, 0.0).sum(dim=1))


def _top_terms(weighting: TermWeighting, weights: Tensor) -> Tensor:
    return _largest(weights, weighting.top)


def _largest(weights: Tensor, top: int | None) -> Tensor:
    """The ``top`` largest weights of each row, (batch, words); the others are zero. None keeps all."""
    if top is None:
        return weights
    largest = torch.topk(weights, min(top, int(weights.shape[1])), dim=1)
    return torch.zeros_like(weights).scatter(1, largest.indices, largest.values)


class TermWeights(nn.Module):
    """A masked language model and its weighing: (batch, tokens) int64 ids and mask to (batch, words)."""

    def __init__(self, transformer: Any, weighting: TermWeighting, exits: Sequence[int] = ()) -> None:
        super().__init__()
        if exits:
            raise ValueError("a masked language model has word logits after its last layer only")
        self.transformer, self.weighting = transformer, weighting

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The weights of a batch padded on the right."""
        logits = self.transformer(input_ids=input_ids, attention_mask=attention_mask).logits
        return (weight_terms(self.weighting, logits, attention_mask),)


class MaxTermWeights(nn.Module):
    """The same for ``max``, in half the time: for each token and word it computes the product only."""

    def __init__(self, transformer: Any, weighting: TermWeighting, exits: Sequence[int] = ()) -> None:
        super().__init__()
        if exits:
            raise ValueError("a masked language model has word logits after its last layer only")
        self.transformer, self.weighting = _MaxLogits(transformer), weighting

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The weights of a batch padded on the right."""
        return (
            _top_terms(self.weighting, self.weighting.activate(self.transformer(input_ids, attention_mask))),
        )


class _MaxLogits(nn.Module):
    """Each word's largest logit over a text's tokens.

    Padding is hidden before the projection (it becomes a copy of the first token), and the bias, which is the
    same at every token, is added after the maximum.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden, _ = projection_input(self.model, input_ids, attention_mask)
        linear = self.model.get_output_embeddings()
        visible = torch.where(attention_mask.unsqueeze(-1) == 0, hidden[:, :1], hidden)
        largest = nn.functional.linear(visible, linear.weight).amax(dim=1)
        return largest if linear.bias is None else largest + linear.bias


def projection_input(model: Any, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The input of a model's projection onto words, (batch, tokens, hidden), and the model's logits."""
    inputs: list[Tensor] = []

    def note(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs.append(arguments[0])

    hook = model.get_output_embeddings().register_forward_pre_hook(note)
    try:
        logits = model(input_ids=input_ids, attention_mask=attention_mask).logits
    finally:
        hook.remove()
    return inputs[0], logits


def term_weights_class(
    model: Any, weighting: TermWeighting
) -> tuple[type[TermWeights] | type[MaxTermWeights], int]:
    """The class of a model's graph, and the size of its vocabulary.

    MaxTermWeights where its logits are its output embeddings' product and bias, with nothing after them.
    """
    ids, mask = torch.tensor([[2, 3, 1, 0]]), torch.tensor([[1, 1, 1, 0]])
    linear = model.get_output_embeddings()
    with torch.no_grad():
        if weighting.reduction != "max" or not isinstance(linear, nn.Linear):
            return TermWeights, int(model(input_ids=ids, attention_mask=mask).logits.shape[-1])
        hidden, logits = projection_input(model, ids, mask)
        same = torch.allclose(linear(hidden), logits, rtol=1e-4, atol=1e-5)
    return MaxTermWeights if same else TermWeights, int(logits.shape[-1])


class TokenWeightLookup(nn.Module):
    """Each word's own weight where a text has it: queries that no model reads ("inference-free").

    ``weights`` is (words,); ``top`` is the number of largest weights to keep.
    """

    def __init__(self, weights: Tensor, exits: Sequence[int] = (), *, top: int | None = None) -> None:
        super().__init__()
        self.top = top
        lookup = weights.detach().clone().float()
        self.weights = nn.Parameter(lookup, requires_grad=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The weights of a batch padded on the right."""
        counts = torch.zeros((input_ids.shape[0], self.weights.shape[0]), dtype=torch.float32)
        # Summed, so that padding, which has an id too, does not hide a word of that id.
        counts = counts.scatter_add(1, input_ids, attention_mask.to(torch.float32))
        return (_largest(counts.clamp(max=1.0) * self.weights, self.top),)
