"""A language model that sees: one graph for messages with a picture and without.

The picture's half lies in an ``If``: a batch of texts does not run it, and the weights are there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nestvec_exporters.vision.image_preprocessing import Preprocessing


@dataclass(frozen=True)
class Sight:
    """What a checkpoint brings to see with.

    ``eyes``: pixel values, (k, 3, height, width) float32, to vectors, (k, count, hidden); ``token`` is the id
    that stands ``count`` times where a picture is. ``grid``: rows and columns of those tokens where the
    language model has positions in three axes (M-RoPE, Wang et al. 2024), else None.
    """

    eyes: nn.Module
    how: Preprocessing
    token: int
    count: int
    grid: tuple[int, int] | None = None


class _Levels(nn.Module):
    """Levels, (k, height, width, 3) uint8, to what the eyes make of them, of the type that they are in."""

    scale: Tensor
    shift: Tensor

    def __init__(self, sight: Sight) -> None:
        super().__init__()
        self.eyes, self.kind = sight.eyes, next(sight.eyes.parameters()).dtype
        how = sight.how
        std = np.asarray(how.std, np.float64)
        self.register_buffer("scale", _channels(how.scale / std))
        self.register_buffer("shift", _channels((how.offset - np.asarray(how.mean, np.float64)) / std))

    def forward(self, levels: Tensor) -> Tensor:
        values = levels.permute(0, 3, 1, 2).to(torch.float32) * self.scale + self.shift
        found: Tensor = self.eyes(values.to(self.kind))
        return found


class _Opened(nn.Module):
    """The eyes, open only where a batch has a picture; compiled, for a trace has no branches.

    The compiler reads no annotations of attributes here.
    """

    def __init__(self, traced: nn.Module, blank: Tensor) -> None:
        super().__init__()
        self.traced = traced
        self.register_buffer("blank", blank)

    def forward(self, levels: Tensor, pictured: Tensor) -> Tensor:
        return self.traced(levels[pictured]) if bool(pictured.any()) else self.blank  # type: ignore[return-value]


class _Inner(nn.Module):
    """What is large, under one name (see precision.halve)."""

    def __init__(self, language: Any, seeing: nn.Module) -> None:
        super().__init__()
        self.language, self.seeing = language, seeing


class Seer(nn.Module):
    """Ids and mask, (n, t) int64 padded on the right, and pixels to the last token's vector, (n, dim).

    ``pixels`` is (n, height, width, 3) uint8, of any size where no row has a picture. A row has one where its
    ids hold ``token``. Vectors have length 1.
    """

    offsets: Tensor

    def __init__(self, language: Any, sight: Sight) -> None:
        super().__init__()
        picture = sight.how.picture
        levels = torch.zeros((2, picture.height, picture.width, 3), dtype=torch.uint8)
        # For the compiler a function's attributes are many types; a trace has none left.
        seeing = _Levels(sight)
        traced = _trace(seeing, [levels])
        blank = torch.zeros((1, sight.count, language.config.hidden_size), dtype=seeing.kind)
        self.transformer = _Inner(language, torch.jit.script(_Opened(traced, blank).eval()))
        self.token, self.count, self.grid = sight.token, sight.count, sight.grid
        rows, columns = sight.grid or (1, sight.count)
        places = torch.cartesian_prod(*(torch.arange(edge) for edge in (1, rows, columns)))
        self.register_buffer("offsets", places.T.contiguous())
        self.span = max(rows, columns)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor) -> tuple[Tensor]:
        """A vector a message."""
        shown = input_ids == self.token
        pictured = shown.any(dim=1)
        seen = self.transformer.seeing(pixels, pictured)
        which = (pictured.to(torch.int64).cumsum(0) - 1).clamp(min=0)
        first = shown.to(torch.int64).argmax(dim=1, keepdim=True)
        steps = torch.arange(input_ids.shape[1], device=input_ids.device)[None] - first
        at = steps.clamp(0, self.count - 1)
        language = self.transformer.language
        embedded = torch.where(
            shown[:, :, None], seen[which[:, None], at], language.get_input_embeddings()(input_ids)
        )
        given: Mapping[str, Tensor] = {}
        if self.grid is not None:
            given = {"position_ids": self._positions(shown, first, steps, at)}
        tokens = language(
            inputs_embeds=embedded, attention_mask=attention_mask, use_cache=False, **given
        ).last_hidden_state
        # Indexed, not gathered and squeezed: behind a branch the exporter knows no shapes.
        rows = torch.arange(input_ids.shape[0], device=input_ids.device)
        last = tokens[rows, (attention_mask.sum(dim=1) - 1).clamp(min=0)]
        return (nn.functional.normalize(last.to(torch.float32), p=2.0, dim=1),)

    def _positions(self, shown: Tensor, first: Tensor, steps: Tensor, at: Tensor) -> Tensor:
        """(3, n, t) int64: a picture's tokens stand in a plane that is as long as its longer side."""
        late = shown.any(dim=1, keepdim=True) & (steps >= self.count)
        plain = steps + first - late.to(torch.int64) * (self.count - self.span)
        return torch.where(shown[None], first[None] + self.offsets[:, at], plain[None])


def compiled(language: Any, sight: Sight, example: Mapping[str, Tensor], *, half: bool) -> nn.Module:
    """The module as a trace that keeps its branch, ready to be written; with ``half`` in float16.

    In torch, because what converts graphs to float16 knows no branches, and the eyes lie in one.
    """
    if half:
        language, sight = halved(language), replace(sight, eyes=halved(sight.eyes))
    with torch.no_grad():
        return _trace(Seer(language, sight), list(example.values()))


def halved(module: nn.Module) -> nn.Module:
    """A copy with parameters in float16. Buffers stay: angles of rotary positions are too coarse in it."""
    memo = {id(one): nn.Parameter(one.detach().half(), requires_grad=False) for one in module.parameters()}
    return deepcopy(module, memo)


def _trace(module: nn.Module, example: Sequence[Tensor]) -> nn.Module:
    trace: Any = torch.jit.trace  # it has no annotations
    traced: nn.Module = trace(module.eval(), tuple(example), check_trace=False)
    return traced


def _channels(values: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).view(1, 3, 1, 1)
