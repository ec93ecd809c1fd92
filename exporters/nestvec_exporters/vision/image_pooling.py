"""Pooling modes of image models, one row each: what a model of transformers gives to one vector per image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from torch import Tensor

Pool = Callable[[Any, int], Tensor | None]


def _pooler(found: Any, patches: int) -> Tensor | None:
    """The checkpoint's own, (n, dim); ConvNets leave two axes of one number behind it."""
    pooled = getattr(found, "pooler_output", None)
    return None if pooled is None else pooled.flatten(1)


def _cls(found: Any, patches: int) -> Tensor | None:
    """The first token's; feature maps of ConvNets have none."""
    tokens = found.last_hidden_state
    return tokens[:, 0] if tokens.ndim == 3 else None


def _mean(found: Any, patches: int) -> Tensor | None:
    """The mean over the picture, without the tokens before its patches."""
    tokens = found.last_hidden_state
    pooled: Tensor = tokens[:, -patches:].mean(dim=1) if tokens.ndim == 3 else tokens.mean(dim=(2, 3))
    return pooled


POOLING: Final[dict[str, Pool]] = {"pooler": _pooler, "cls": _cls, "mean": _mean}
"""Each takes what a model of transformers gives, and how many patches a picture has; None where it cannot."""
