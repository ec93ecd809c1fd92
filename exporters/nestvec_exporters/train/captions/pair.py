"""The two towers that are trained, as one model that gives vectors of texts and of pictures."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from nestvec_exporters.architectures.dual import Row, TextGraph, filling_of, positions_of
from nestvec_exporters.checkpoints.tokenizer import plain_tokenizer
from nestvec_exporters.nesting.sampling import padded
from nestvec_exporters.train.captions.options import CaptionOptions, Tower
from nestvec_exporters.train.state import copied, put
from nestvec_exporters.train.student import bf16
from nestvec_exporters.vision.image_tower import PREPROCESSING, ImageGraph, ImageTower, read_preprocessing
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.vectors import Vectors

_PASS: Final = 64

_STEEPEST: Final = 100.0
"""What cosines are multiplied by at most, as CLIP has it."""

START_SCALE: Final = 20.0

_SCALES: Final = ("logit_scale", "logit_bias", "temperature", "scale")


@dataclass(frozen=True)
class Parts:
    """A model with its row of ``dual``, its tokenizer, and the folder that says how pictures are prepared."""

    row: Row
    model: Any
    tokenizer: Any
    pictures: Path


class Pair(nn.Module):
    """A model with a row of ``dual``, its tokenizer and its way with pictures; always in evaluation mode.

    Its batch norms keep what they know and nothing is dropped out: training sets are small here.
    """

    def __init__(self, parts: Parts, options: CaptionOptions) -> None:
        super().__init__()
        self.model: Any = parts.model
        self.parts, self.options = parts, options
        self.how = read_preprocessing(parts.pictures)
        filling = filling_of(parts.row, parts.model, parts.tokenizer)
        self._text = TextGraph(parts.row, parts.model, filling)
        tower = ImageTower(parts.row.pictures(parts.model), None, self.how, parts.row.pooling[1], unit=True)
        self._image = ImageGraph(tower)
        self._tokenizer = plain_tokenizer(parts.tokenizer)
        self._tokenizer.enable_truncation(min(options.max_tokens, positions_of(parts.model)))
        self._filler = int(parts.tokenizer.pad_token_id or 0)
        self.sigmoid = hasattr(parts.model, "logit_bias")
        # Where the checkpoint has none of its own, it falls away after training.
        own = nn.Parameter(torch.tensor(math.log(START_SCALE)))
        self.scale = getattr(parts.model, "logit_scale", own)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.to(self._device).eval()
        # Convolutions are several times as fast in this order on processors.
        parts.model.to(memory_format=torch.channels_last)
        _freeze(parts.model, "text", options.text)
        _freeze(parts.model, "image", options.image)

    def scaled(self, cosines: Tensor) -> Tensor:
        """Logits of cosines, by the temperature, and the bias where there is one, as they are now."""
        if self.sigmoid:
            found: Tensor = cosines * self.scale.exp() + self.model.logit_bias
            return found
        return cosines * self.scale.exp().clamp(max=_STEEPEST)

    @property
    def dim(self) -> int:
        """Of the vectors."""
        return int(self.texts(["a"]).shape[1])

    def texts(self, texts: Sequence[str]) -> Tensor:
        """A vector a text, (n, dim) float32 of length 1."""
        rows = [one.ids for one in self._tokenizer.encode_batch(list(texts))]
        ids, mask = (torch.from_numpy(one).to(self._device) for one in padded(rows, self._filler))
        with self._fast():
            (vectors,) = self._text(ids, mask)
        found: Tensor = vectors.float()
        return found

    def pictures(self, levels: Tensor) -> Tensor:
        """A vector a picture, (n, dim) float32, of levels (n, height, width, 3)."""
        with self._fast():
            (vectors,) = self._image(levels.to(self._device))
        found: Tensor = vectors.float()
        return found

    def features(self, levels: Tensor) -> Tensor:
        """What the projection of pictures reads, (n, width) float32; only a composed model tells it apart."""
        with self._fast():
            found: Tensor = self.model.pooled_pictures(self._image.numbers(levels.to(self._device)))
        return found

    @property
    def frozen(self) -> bool:
        """Whether pictures' features never change, and can be told apart from what is projected of them."""
        return self.options.image.rate == 0 and hasattr(self.model, "pooled_pictures")

    def projected(self, features: Tensor) -> Tensor:
        """The vectors of ``features``, (n, dim) float32 of length 1."""
        return nn.functional.normalize(self.model.visual_projection(features), dim=1)

    def _fast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=bf16(self._device))

    @torch.no_grad()
    def embed(
        self,
        what: Callable[[Any], Tensor],
        rows: Any,
        on_step: Callable[[int, int], None] = lambda done, total: None,
    ) -> Vectors:
        """The vectors of many, by ``texts`` or ``pictures``, as an array, (n, dim) float32."""
        found = []
        for start in range(0, len(rows), _PASS):
            part = rows[start : start + _PASS]
            given = torch.from_numpy(np.ascontiguousarray(part)) if isinstance(part, np.ndarray) else part
            found.append(what(given).cpu().numpy())
            on_step(min(start + _PASS, len(rows)), len(rows))
        vectors: Vectors = np.concatenate(found)
        return vectors

    def groups(self) -> list[dict[str, Any]]:
        """What AdamW is to move, each group with its share of the learning rate; scales do not decay."""
        rates = {"text": self.options.text.rate, "image": self.options.image.rate}
        found: dict[str, list[nn.Parameter]] = {}
        for name, one in self.trained().items():
            found.setdefault(_part(name), []).append(one)
        decay = {"scale": {"weight_decay": 0.0}}
        return [
            {"params": params, "share": rates.get(part, 1.0), **decay.get(part, {})}
            for part, params in found.items()
        ]

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that training moves, by name."""
        found = {name: one for name, one in self.model.named_parameters() if one.requires_grad}
        return found if hasattr(self.model, "logit_scale") else {**found, "scale": self.scale}

    def weights(self) -> dict[str, Tensor]:
        """A copy of the parameters that training moves."""
        return copied(self.trained())

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take what ``weights`` gave."""
        put(self.trained(), weights)

    def save(self, folder: Path) -> None:
        """Write a checkpoint that ``dual`` reads, in float32."""
        self.model.to("cpu", memory_format=torch.contiguous_format).save_pretrained(folder)
        self.parts.tokenizer.save_pretrained(folder)
        for name in PREPROCESSING:
            if (self.parts.pictures / name).is_file():
                shutil.copyfile(self.parts.pictures / name, folder / name)


def _freeze(model: nn.Module, part: str, tower: Tower) -> None:
    """Leave as it is what is not to be trained of a tower: its words always, for a text's few would move rows
    that all other texts rely on. Raises CheckpointUnsupported where it has not so many blocks."""
    names = [name for name, _ in model.named_parameters() if _part(name) == part]
    first = 0
    if tower.blocks is not None:
        lists = {n: m for n, m in model.named_modules() if _part(n) == part and isinstance(m, nn.ModuleList)}
        name, blocks = max(lists.items(), key=lambda one: len(one[1]), default=("", nn.ModuleList()))
        if tower.blocks > len(blocks):
            raise CheckpointUnsupported(
                f"the {part} tower has not so many blocks",
                value=f"{tower.blocks}, and it has {len(blocks)}",
                next_step=f"Leave --{part}-blocks away, or give fewer.",
            )
        start = f"{name}.{len(blocks) - tower.blocks}."
        first = next(at for at, one in enumerate(names) if one.startswith(start))
    words = [f"{name}." for name, one in model.named_modules() if isinstance(one, nn.Embedding)]
    for at, name in enumerate(names):
        word = part == "text" and name.startswith(tuple(words))
        model.get_parameter(name).requires_grad_(tower.rate > 0 and at >= first and not word)


def _part(name: str) -> str:
    """What a parameter of a dual encoder belongs to, by its name."""
    first = name.partition(".")[0]
    if "proj" in first:
        return "projection"
    if first in _SCALES:
        return "scale"
    return {"text": "text", "visi": "image"}.get(first[:4], "other")
