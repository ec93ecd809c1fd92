"""Pooling modes of image models, one row each: what a model of transformers gives to one vector per image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from torch import Tensor

VisionPool = Callable[[Any, int], Tensor | None]


def _pooler(output: Any, patches: int) -> Tensor | None:
    """The checkpoint's own, (n, dim); ConvNets leave two axes of one number behind it."""
    pooled = getattr(output, "pooler_output", None)
    return None if pooled is None else pooled.flatten(1)


def _cls(output: Any, patches: int) -> Tensor | None:
    """The first token's; feature maps of ConvNets have none."""
    tokens = output.last_hidden_state
    return tokens[:, 0] if tokens.ndim == 3 else None


def _mean(output: Any, patches: int) -> Tensor | None:
    """The mean over the image, without the tokens before its patches."""
    tokens = output.last_hidden_state
    pooled: Tensor = tokens[:, -patches:].mean(dim=1) if tokens.ndim == 3 else tokens.mean(dim=(2, 3))
    return pooled


VISION_POOLING: Final[dict[str, VisionPool]] = {"pooler": _pooler, "cls": _cls, "mean": _mean}
"""Each takes what a model of transformers gives, and how many patches an image has; None where it cannot."""
