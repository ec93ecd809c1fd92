"""Losses of images and captions that draw matching ones together and push the others apart.

sentence-transformers has neither a learned scale, nor several captions of an image, nor the sigmoid loss; the
sum over prefixes is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from nestvec_exporters.train.losses import MatryoshkaMean

ContrastiveLoss = Callable[[Tensor, Tensor], Tensor]
"""From logits, (n, m), and which of them match, (n, m) bool with one in each row and column, to a number."""


def info_nce(logits: Tensor, matches: Tensor) -> Tensor:
    """Cross-entropy over captions and over images, in equal parts (CLIP, Radford et al. 2021).

    Several matches share the target probability equally (SupCon's outer sum, Khosla et al. 2020; DreamLIP,
    Zheng et al. 2024, has several captions of an image so).
    """
    targets = matches.to(logits.dtype)
    over_captions = cross_entropy(logits, targets / targets.sum(dim=1, keepdim=True))
    over_images = cross_entropy(logits.T, targets.T / targets.T.sum(dim=1, keepdim=True))
    return (over_captions + over_images) / 2


def sigmoid_loss(logits: Tensor, matches: Tensor) -> Tensor:
    """Each pair by itself, matching or not, summed over an image's captions (SigLIP, Zhai et al. 2023)."""
    targets = matches.to(logits.dtype)
    return binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1).mean()


class _CosineContrast(nn.Module):
    """A contrastive loss of the cosines of vectors of length 1, in the protocol of sentence-transformers."""

    def __init__(
        self, model: Any, loss: ContrastiveLoss, matches: Tensor, logits: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.model, self.loss, self.matches, self.logits = model, loss, matches, logits

    def forward(self, features: Sequence[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        images, texts = (self.model(feature)["sentence_embedding"] for feature in features)
        return self.loss(self.logits(images @ texts.T), self.matches)


def nested_loss(
    loss: ContrastiveLoss,
    vectors: tuple[Tensor, Tensor],
    matches: Tensor,
    logits: Callable[[Tensor], Tensor],
    dims: Sequence[int],
) -> Tensor:
    """The mean of ``loss`` over prefixes, each normalised to length 1.

    ``vectors`` are of images, (n, dim), and of texts, (m, dim); ``logits`` maps cosines to logits.
    """
    mean = MatryoshkaMean(lambda model: _CosineContrast(model, loss, matches, logits), dims)
    return mean(vectors)
