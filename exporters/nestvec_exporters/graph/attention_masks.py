"""Attention masks of transformers that a tracer can follow.

transformers makes a mask from a function of two places. A function that a model adds itself, such as
Gemma 3's window to both sides, it applies under vmap, which no tracer follows; broadcast over the places,
the function gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

_IMPLEMENTATIONS: Final = ("eager", "sdpa")


@contextmanager
def broadcast_masks() -> Iterator[None]:
    """Have transformers make its masks by broadcasting."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS as REGISTRY  # noqa: PLC0415 - slow

    own: dict[str, Any] = {name: REGISTRY[name] for name in _IMPLEMENTATIONS}
    try:
        for name, function in own.items():
            REGISTRY[name] = partial(_broadcast, function)
        yield
    finally:
        for name in own:
            del REGISTRY[name]


def _broadcast(function: Any, *args: Any, use_vmap: bool = False, **options: Any) -> Any:
    del use_vmap
    return function(*args, **options)
