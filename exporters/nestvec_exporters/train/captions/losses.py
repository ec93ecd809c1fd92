"""What training makes small: the right captions of a picture apart from the others, and the other way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid, normalize

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits, (n, m), and which of them are right, (n, m) bool with one in each row and column, to a number."""


def info_nce(logits: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy over captions and over pictures, in equal parts (CLIP, Radford et al. 2021).

    Where several are right, each is aimed at alike, by its own logarithm (SupCon's outer sum, Khosla et al.
    2020; DreamLIP, Zheng et al. 2024, has several captions a picture so).
    """
    aims = right.to(logits.dtype)
    ways = []
    for axis in (1, 0):
        likely = log_softmax(logits, dim=axis) * aims / aims.sum(dim=axis, keepdim=True)
        ways.append(-likely.sum(dim=axis).mean())
    return torch.stack(ways).mean()


def sigmoid(logits: Tensor, right: Tensor) -> Tensor:
    """Each pair by itself, right or not, summed over a picture's (SigLIP, Zhai et al. 2023)."""
    return -logsigmoid(torch.where(right, logits, -logits)).sum(dim=1).mean()


def nested(
    loss: Loss,
    vectors: tuple[Tensor, Tensor],
    right: Tensor,
    scaled: Callable[[Tensor], Tensor],
    dims: Sequence[int],
) -> Tensor:
    """The mean of ``loss`` over prefixes (Matryoshka, Kusupati et al. 2022), each brought to length 1.

    ``vectors`` are of pictures, (n, dim), and of texts, (m, dim); ``scaled`` makes logits of cosines.
    """
    pictures, texts = vectors
    found = []
    for dim in dims:
        cosines = normalize(pictures[:, :dim], dim=1) @ normalize(texts[:, :dim], dim=1).T
        found.append(loss(scaled(cosines), right))
    return torch.stack(found).mean()
