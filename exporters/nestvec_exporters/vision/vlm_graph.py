"""A vision-language model as one graph for messages with an image and without.

The image encoder is in an ``If``: a batch of texts does not run it, and the weights are stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nestvec_exporters.vision.image_preprocessing import Preprocessing


@dataclass(frozen=True)
class ImageInput:
    """How a checkpoint reads images."""

    vision: nn.Module
    """Pixel values, (k, 3, height, width) float32, to vectors, (k, image_tokens, hidden)."""

    preprocessing: Preprocessing

    image_token: int
    """The id of an image's tokens."""

    image_tokens: int
    """Tokens per image."""

    grid: tuple[int, int] | None = None
    """Rows and columns of those tokens where the language model has positions in three axes (M-RoPE, Wang et
    al. 2024)."""

    deep: int = 0
    """First layers of the language model that add more of an image to its tokens: ``vision`` then gives
    (k, image_tokens, (1 + deep) * hidden)."""


class _PixelVision(nn.Module):
    """Levels, (k, height, width, 3) uint8, to the image encoder's vectors, in its type."""

    scale: Tensor
    shift: Tensor

    def __init__(self, image_input: ImageInput) -> None:
        super().__init__()
        self.vision, self.kind = image_input.vision, next(image_input.vision.parameters()).dtype
        preprocessing = image_input.preprocessing
        std = np.asarray(preprocessing.std, np.float64)
        self.register_buffer("scale", _channels(preprocessing.scale / std))
        self.register_buffer(
            "shift", _channels((preprocessing.offset - np.asarray(preprocessing.mean, np.float64)) / std)
        )

    def forward(self, levels: Tensor) -> Tensor:
        values = levels.permute(0, 3, 1, 2).to(torch.float32) * self.scale + self.shift
        vectors: Tensor = self.vision(values.to(self.kind))
        return vectors


class _OptionalVision(nn.Module):
    """The image encoder, which runs only where a batch has an image; compiled, because a trace has no
    branches."""

    def __init__(self, traced: nn.Module, blank: Tensor) -> None:
        super().__init__()
        self.traced = traced
        self.register_buffer("blank", blank)

    def forward(self, levels: Tensor, has_image: Tensor) -> Tensor:
        return self.traced(levels[has_image]) if bool(has_image.any()) else self.blank  # type: ignore[return-value]


class _Models(nn.Module):
    """The models, under one name (see ``precision.convert_fp16``)."""

    def __init__(self, language: Any, vision: nn.Module) -> None:
        super().__init__()
        self.language, self.vision = language, vision


class VisionLanguageGraph(nn.Module):
    """Ids and mask, (n, t) int64 padded on the right, and pixels to the last token's vector, (n, dim).

    ``pixels`` is (n, height, width, 3) uint8, of any size where no row has an image. A row has one where its
    ids contain the image token. Vectors have length 1.
    """

    offsets: Tensor

    def __init__(self, language: Any, image_input: ImageInput) -> None:
        super().__init__()
        transform = image_input.preprocessing.transform
        levels = torch.zeros((2, transform.height, transform.width, 3), dtype=torch.uint8)
        # For the compiler a function's attributes are many types; a trace has none left.
        vision = _PixelVision(image_input)
        traced = _trace(vision, [levels])
        self.deep, self.width = image_input.deep, language.config.hidden_size
        blank = torch.zeros((1, image_input.image_tokens, (1 + self.deep) * self.width), dtype=vision.kind)
        self.transformer = _Models(language, torch.jit.script(_OptionalVision(traced, blank).eval()))
        self.token, self.count, self.grid = (
            image_input.image_token,
            image_input.image_tokens,
            image_input.grid,
        )
        rows, columns = image_input.grid or (1, image_input.image_tokens)
        places = torch.cartesian_prod(*(torch.arange(edge) for edge in (1, rows, columns)))
        self.register_buffer("offsets", places.T.contiguous())
        self.span = max(rows, columns)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor) -> tuple[Tensor]:
        """One vector per message."""
        is_image = input_ids == self.token
        has_image = is_image.any(dim=1)
        image_vectors = self.transformer.vision(pixels, has_image)
        which = (has_image.to(torch.int64).cumsum(0) - 1).clamp(min=0)
        first = is_image.to(torch.int64).argmax(dim=1, keepdim=True)
        steps = torch.arange(input_ids.shape[1], device=input_ids.device)[None] - first
        at = steps.clamp(0, self.count - 1)
        language = self.transformer.language
        vectors, *added = image_vectors[which[:, None], at].split(self.width, dim=-1)
        shown = is_image[:, :, None]
        embedded = torch.where(shown, vectors, language.get_input_embeddings()(input_ids))
        positions: Mapping[str, Tensor] = {}
        if self.grid is not None:
            positions = {"position_ids": self._positions(is_image, first, steps, at)}
        with _added_behind(language, [torch.where(shown, more, torch.zeros_like(more)) for more in added]):
            tokens = language(
                inputs_embeds=embedded, attention_mask=attention_mask, use_cache=False, **positions
            ).last_hidden_state
        # Indexed, not gathered and squeezed: behind a branch the exporter knows no shapes.
        rows = torch.arange(input_ids.shape[0], device=input_ids.device)
        last = tokens[rows, (attention_mask.sum(dim=1) - 1).clamp(min=0)]
        return (nn.functional.normalize(last.to(torch.float32), p=2.0, dim=1),)

    def _positions(self, is_image: Tensor, first: Tensor, steps: Tensor, at: Tensor) -> Tensor:
        """(3, n, t) int64: an image's tokens stand in a plane that is as long as its longer side."""
        late = is_image.any(dim=1, keepdim=True) & (steps >= self.count)
        plain = steps + first - late.to(torch.int64) * (self.count - self.span)
        return torch.where(is_image[None], first[None] + self.offsets[:, at], plain[None])


@contextmanager
def _added_behind(language: Any, added: Sequence[Tensor]) -> Iterator[None]:
    """Add a tensor, (n, t, hidden), to what each of the first layers gives."""

    def adding(more: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        return lambda module, arguments, output: output + more

    hooks = [
        layer.register_forward_hook(adding(more)) for layer, more in zip(language.layers, added, strict=False)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def trace_vision_language(
    language: Any, image_input: ImageInput, example: Sequence[Tensor], *, half: bool
) -> nn.Module:
    """The module as a trace that keeps its branch, ready to be written; with ``half`` in float16.

    In torch, because the converter of graphs to float16 does not support branches.
    """
    if half:
        language, image_input = (
            to_float16(language),
            replace(image_input, vision=to_float16(image_input.vision)),
        )
    with torch.no_grad():
        return _trace(VisionLanguageGraph(language, image_input), example)


def to_float16(module: nn.Module) -> nn.Module:
    """A copy with parameters in float16. Buffers stay: angles of rotary positions are too coarse in it."""
    memo = {
        id(parameter): nn.Parameter(parameter.detach().half(), requires_grad=False)
        for parameter in module.parameters()
    }
    return deepcopy(module, memo)


def _trace(module: nn.Module, example: Sequence[Tensor]) -> nn.Module:
    trace: Any = torch.jit.trace  # it has no annotations
    traced: nn.Module = trace(module.eval(), tuple(example), check_trace=False)
    return traced


def _channels(values: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).view(1, 3, 1, 1)
