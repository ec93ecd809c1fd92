"""The two towers that are trained, as one model that returns vectors of texts and of images."""

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

from nestvec_exporters.architectures.dual import (
    DualEncoderFamily,
    DualTextGraph,
    text_padding,
    text_positions,
)
from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer
from nestvec_exporters.nesting.sampling import pad_batch
from nestvec_exporters.train.captions.options import CaptionOptions, TowerTraining
from nestvec_exporters.train.state import copy_parameters, restore_parameters
from nestvec_exporters.train.student import supports_bf16
from nestvec_exporters.vision.image_tower import (
    PREPROCESSING_FILES,
    ImageGraph,
    ImageModel,
    read_preprocessing,
)
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.vectors import Vectors

_BATCH_INPUTS: Final = 64

_MAX_SCALE: Final = 100.0
"""The largest factor of cosines, as in CLIP."""

START_SCALE: Final = 20.0

_SCALE_PARAMETERS: Final = ("logit_scale", "logit_bias", "temperature", "scale")


@dataclass(frozen=True)
class DualParts:
    """A dual encoder as it is loaded."""

    row: DualEncoderFamily
    model: Any
    tokenizer: Any
    preprocessing_folder: Path
    """The folder with the image preprocessing's configuration."""


class TwoTowerModel(nn.Module):
    """A dual encoder with its tokenizer and image preprocessing.

    It always stays in evaluation mode: training sets are small, so batch norms keep their statistics and
    nothing is dropped out.
    """

    def __init__(self, parts: DualParts, options: CaptionOptions) -> None:
        super().__init__()
        self.model: Any = parts.model
        self.parts, self.options = parts, options
        self.preprocessing = read_preprocessing(parts.preprocessing_folder)
        padding = text_padding(parts.row, parts.model, parts.tokenizer)
        self._text = DualTextGraph(parts.row, parts.model, padding)
        tower = ImageModel(
            parts.row.image_module(parts.model),
            None,
            self.preprocessing,
            parts.row.pooling[1],
            normalised=True,
        )
        self._image = ImageGraph(tower)
        self._tokenizer = fast_tokenizer(parts.tokenizer)
        self._tokenizer.enable_truncation(
            min(options.hyperparameters.max_tokens, text_positions(parts.model))
        )
        self._pad_id = int(parts.tokenizer.pad_token_id or 0)
        self.sigmoid = hasattr(parts.model, "logit_bias")
        # If the checkpoint has no scale of its own, this one is dropped after training.
        initial_scale = nn.Parameter(torch.tensor(math.log(START_SCALE)))
        self.scale = getattr(parts.model, "logit_scale", initial_scale)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.to(self._device).eval()
        # Convolutions are several times as fast in this order on CPUs.
        parts.model.to(memory_format=torch.channels_last)
        _freeze(parts.model, "text", options.text)
        _freeze(parts.model, "image", options.image)

    def logits(self, cosines: Tensor) -> Tensor:
        """Logits of cosines, by the current scale, and the bias if there is one."""
        if self.sigmoid:
            logits: Tensor = cosines * self.scale.exp() + self.model.logit_bias
            return logits
        return cosines * self.scale.exp().clamp(max=_MAX_SCALE)

    @property
    def dim(self) -> int:
        """The dim of the vectors."""
        return int(self.texts(["a"]).shape[1])

    def texts(self, texts: Sequence[str]) -> Tensor:
        """A vector per text, (n, dim) float32 of length 1."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        ids, mask = (torch.from_numpy(array).to(self._device) for array in pad_batch(rows, self._pad_id))
        with self._fast():
            (vectors,) = self._text(ids, mask)
        normalised: Tensor = vectors.float()
        return normalised

    def images(self, pixels: Tensor) -> Tensor:
        """A vector per image, (n, dim) float32, of pixels (n, height, width, 3)."""
        with self._fast():
            (vectors,) = self._image(pixels.to(self._device))
        normalised: Tensor = vectors.float()
        return normalised

    def features(self, pixels: Tensor) -> Tensor:
        """The input of the image projection, (n, width) float32; only a composed model separates the two."""
        with self._fast():
            pooled: Tensor = self.model.pooled_images(self._image.numbers(pixels.to(self._device)))
        return pooled

    @property
    def frozen(self) -> bool:
        """Whether training never changes the images' features, and the projection is separate from them."""
        return self.options.image.rate == 0 and hasattr(self.model, "pooled_images")

    def projected(self, features: Tensor) -> Tensor:
        """The vectors of ``features``, (n, dim) float32 of length 1."""
        return nn.functional.normalize(self.model.visual_projection(features), dim=1)

    def _fast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=supports_bf16(self._device))

    @torch.no_grad()
    def embed(
        self,
        embed_batch: Callable[[Any], Tensor],
        rows: Any,
        on_step: Callable[[int, int], None] = lambda done, total: None,
    ) -> Vectors:
        """The vectors of many inputs, (n, dim) float32, by ``texts``, ``images`` or ``features``."""
        batches = []
        for start in range(0, len(rows), _BATCH_INPUTS):
            batch = rows[start : start + _BATCH_INPUTS]
            inputs = torch.from_numpy(np.ascontiguousarray(batch)) if isinstance(batch, np.ndarray) else batch
            batches.append(embed_batch(inputs).cpu().numpy())
            on_step(min(start + _BATCH_INPUTS, len(rows)), len(rows))
        vectors: Vectors = np.concatenate(batches)
        return vectors

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for AdamW, each with its share of the learning rate; scales have no weight decay."""
        rates = {"text": self.options.text.rate, "image": self.options.image.rate}
        by_component: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.trainable().items():
            by_component.setdefault(_component_of(name), []).append(parameter)
        decay = {"scale": {"weight_decay": 0.0}}
        return [
            {"params": params, "share": rates.get(component, 1.0), **decay.get(component, {})}
            for component, params in by_component.items()
        ]

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        trainable = {
            name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad
        }
        return trainable if hasattr(self.model, "logit_scale") else {**trainable, "scale": self.scale}

    def weights(self) -> dict[str, Tensor]:
        """A copy of the trained parameters."""
        return copy_parameters(self.trainable())

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Restore what ``weights`` returned."""
        restore_parameters(self.trainable(), weights)

    def save(self, folder: Path) -> None:
        """Write a checkpoint that ``dual`` reads, in float32."""
        self.model.to("cpu", memory_format=torch.contiguous_format).save_pretrained(folder)
        self.parts.tokenizer.save_pretrained(folder)
        for name in PREPROCESSING_FILES:
            if (self.parts.preprocessing_folder / name).is_file():
                shutil.copyfile(self.parts.preprocessing_folder / name, folder / name)


def _freeze(model: nn.Module, component: str, tower: TowerTraining) -> None:
    """Freeze what is not to be trained of a tower, the word embeddings always: a batch's few words would
    move rows that all other texts rely on. Raises CheckpointUnsupported if it has fewer blocks."""
    names = [name for name, _ in model.named_parameters() if _component_of(name) == component]
    first = 0
    if tower.blocks is not None:
        lists = {
            n: m
            for n, m in model.named_modules()
            if _component_of(n) == component and isinstance(m, nn.ModuleList)
        }
        name, blocks = max(lists.items(), key=lambda module: len(module[1]), default=("", nn.ModuleList()))
        if tower.blocks > len(blocks):
            raise CheckpointUnsupported(
                f"the {component} tower has fewer blocks than requested",
                value=f"{tower.blocks} requested, {len(blocks)} present",
                next_step=f"Omit --{component}-blocks, or give at most {len(blocks)}.",
            )
        start = f"{name}.{len(blocks) - tower.blocks}."
        first = next(index for index, parameter in enumerate(names) if parameter.startswith(start))
    embedding_prefixes = [
        f"{name}." for name, module in model.named_modules() if isinstance(module, nn.Embedding)
    ]
    for index, name in enumerate(names):
        is_embedding = component == "text" and name.startswith(tuple(embedding_prefixes))
        model.get_parameter(name).requires_grad_(tower.rate > 0 and index >= first and not is_embedding)


def _component_of(name: str) -> str:
    """The component of a dual encoder that a parameter belongs to, by its name."""
    first = name.partition(".")[0]
    if "proj" in first:
        return "projection"
    if first in _SCALE_PARAMETERS:
        return "scale"
    return {"text": "text", "visi": "image"}.get(first[:4], "other")
