"""Image and text in one space: CLIP and its kin, each tower pooled and projected as transformers does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.dual_layout import DualLayout, check_text_padding, read_dual_layout
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.max_length import check_positions
from nestvec_exporters.checkpoints.prompts import CONFIG as PROMPTS_CONFIG
from nestvec_exporters.checkpoints.prompts import read_prompts
from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer, read_tokenizer
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.graph.recurrent_pooling import check_no_frame_pooling
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower, TowerModel
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.vision.image_tower import (
    ImageModel,
    ImageTower,
    attention_shape,
    patch_edge,
    read_preprocessing,
    read_processor,
)
from nestvec_exporters.vision.naflex import NaflexTower, is_naflex
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

_UNSTATED_TOKENS: Final = 512

TextFeatures = Callable[[Any, Tensor, Tensor | None], Tensor]
ImageFeatures = Callable[[Any, Tensor], Tensor]


def _text_features(model: Any, ids: Tensor, mask: Tensor | None) -> Tensor:
    return _pooled(model.get_text_features(input_ids=ids, attention_mask=mask))


def _image_features(model: Any, values: Tensor) -> Tensor:
    return _pooled(model.get_image_features(pixel_values=values))


def _pooled(output: Any) -> Tensor:
    """Transformers 5 answers with all that it computed, 4 with the vectors."""
    vectors: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return vectors


def _blip_text(model: Any, ids: Tensor, mask: Tensor | None) -> Tensor:
    tokens = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    vectors: Tensor = model.text_proj(tokens[:, 0])
    return vectors


def _blip_image(model: Any, values: Tensor) -> Tensor:
    vectors: Tensor = model.vision_proj(model.vision_model(pixel_values=values).last_hidden_state[:, 0])
    return vectors


@dataclass(frozen=True)
class DualEncoderFamily:
    """A class of transformers, and how it gives vectors of texts (ids and mask) and of images."""

    class_name: str

    pooling: tuple[str, str]
    """What a manifest calls the pooling of text and of image."""

    text_features: TextFeatures = _text_features

    image_features: ImageFeatures = _image_features

    pads_texts: bool = False
    """Whether every text is padded to the model's longest, and the padding read like words."""

    max_tokens: int | None = None
    """The longest text, where the checkpoint takes fewer tokens than it has positions for."""

    module: str = "transformers"
    """The module that has the class."""

    def model_class(self) -> Any:
        """The class; imports transformers."""
        return getattr(import_module(self.module), self.class_name)

    def image_module(self, model: Any) -> nn.Module:
        """Pixel values to vectors, of a model of this class."""
        return _Image(self, model)


FAMILIES: Final[dict[str, DualEncoderFamily]] = {
    "align": DualEncoderFamily("AlignModel", ("cls", "mean"), max_tokens=64),
    "altclip": DualEncoderFamily("AltCLIPModel", ("cls", "cls")),
    "blip": DualEncoderFamily("BlipModel", ("pooler", "cls")),
    # ALBEF's contrastive half (Li et al. 2021): its two towers before they attend to one another.
    "BlipForImageTextRetrieval": DualEncoderFamily(
        "BlipForImageTextRetrieval", ("cls", "cls"), text_features=_blip_text, image_features=_blip_image
    ),
    "chinese_clip": DualEncoderFamily("ChineseCLIPModel", ("cls", "cls")),
    "clip": DualEncoderFamily("CLIPModel", ("eos", "cls")),
    "metaclip_2": DualEncoderFamily("MetaClip2Model", ("eos", "cls")),
    "siglip": DualEncoderFamily("SiglipModel", ("last", "attention"), pads_texts=True),
    # In an image's own shape (NaFlex); SigLIP 2 of one size is saved as the first.
    "siglip2": DualEncoderFamily("Siglip2Model", ("last", "attention"), pads_texts=True),
    # ConVIRT (Zhang et al. 2020) and LiT (Zhai et al. 2022): any vision tower beside any text tower.
    "vision-text-dual-encoder": DualEncoderFamily("VisionTextDualEncoderModel", ("pooler", "pooler")),
    # Made by adapt; its config.json says how each tower is pooled.
    "nestvec-pooled-dual": DualEncoderFamily(
        "PooledDualEncoderModel", ("mean", "pooler"), module="nestvec_exporters.vision.pooled_dual"
    ),
}
"""By the class that was saved, where it has a row of its own, else by ``model_type``."""


class _Text(nn.Module):
    def __init__(self, family: DualEncoderFamily, model: Any) -> None:
        super().__init__()
        self.model, self.family = model, family

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        return self.family.text_features(self.model, ids, mask)


class _Image(nn.Module):
    def __init__(self, family: DualEncoderFamily, model: Any) -> None:
        super().__init__()
        self.model, self.family = model, family

    def forward(self, values: Tensor) -> Tensor:
        return self.family.image_features(self.model, values)


@dataclass(frozen=True)
class TextPadding:
    """How every text is padded to one length."""

    pad_token_id: int

    length: int
    """In tokens."""

    left: bool
    """Whether padding precedes the text."""


class DualTextGraph(nn.Module):
    """Ids and mask, (n, tokens) int64 padded on the right, to vectors, (n, dim) float32, ``normalised`` or as
    the model gives them.

    Without ``padding``, the padding of a batch does not affect a text's vector.
    """

    def __init__(
        self, family: DualEncoderFamily, model: Any, padding: TextPadding | None, *, normalised: bool = True
    ) -> None:
        super().__init__()
        self.transformer = _Text(family, model)
        self.padding, self.normalised = padding, normalised

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        """One vector per text."""
        if self.padding is None:
            vectors = self.transformer(input_ids, attention_mask)
        else:
            vectors = self.transformer(self._filled(input_ids, attention_mask, self.padding), None)
        return (nn.functional.normalize(vectors, p=2.0, dim=1) if self.normalised else vectors,)

    def _filled(self, ids: Tensor, mask: Tensor, padding: TextPadding) -> Tensor:
        more = torch.full(
            (ids.shape[0], padding.length), padding.pad_token_id, dtype=torch.int64, device=ids.device
        )
        filled = torch.cat([ids.masked_fill(mask == 0, padding.pad_token_id), more], dim=1)[
            :, : padding.length
        ]
        if not padding.left:
            return filled
        missing = padding.length - mask.sum(dim=1, keepdim=True)
        places = torch.arange(padding.length, device=ids.device)[None] - missing
        return torch.where(places < 0, padding.pad_token_id, filled.gather(1, places.clamp(min=0)))


class DualTextTower(TextTower):
    """The text tower of a model of two."""

    def __init__(
        self,
        family: DualEncoderFamily,
        model: Any,
        tokenizer: Any,
        max_tokens: int | None,
        *,
        normalised: bool = True,
    ) -> None:
        spec = Tower(
            inputs=INPUTS,
            output=OUTPUT,
            pooling=family.pooling[0],
            max_tokens=_max_tokens(family, tokenizer, text_positions(model), max_tokens),
        )
        super().__init__(spec, fast_tokenizer(tokenizer))
        self.example = dict.fromkeys(INPUTS, np.ones((2, min(16, spec.max_tokens)), np.int64))
        self.family, self.model, self.own_tokenizer = family, model, tokenizer
        self.padding, self.normalised = text_padding(family, model, tokenizer), normalised
        self.heads, self.hidden = attention_shape(model.config.text_config)

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """Ids and mask to vectors."""
        return DualTextGraph(self.family, self.model, self.padding, normalised=self.normalised).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The checkpoint's own vectors, (n, dim) float32, one text at a time."""
        padding = self.padding
        rows = []
        with torch.no_grad():
            for text in inputs:
                read = self.own_tokenizer(text, truncation=True, max_length=max_tokens, return_tensors=None)
                ids = list(read["input_ids"])
                if padding is not None:
                    more = [padding.pad_token_id] * (padding.length - len(ids))
                    ids = more + ids if padding.left else ids + more
                row = torch.tensor([ids], dtype=torch.int64)
                mask = None if padding else torch.ones_like(row)
                vectors = self.family.text_features(self.model, row, mask)
                if self.normalised:
                    vectors = nn.functional.normalize(vectors, p=2.0, dim=1)
                rows.append(vectors[0].numpy())
        return np.stack(rows)


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make two towers of one space."""
    layout = read_dual_layout(checkpoint.folder)
    family, model = read_dual(layout.home)
    family = replace(family, max_tokens=layout.max_tokens or family.max_tokens)
    text = DualTextTower(
        family, model, read_tokenizer(layout.home), options.max_tokens, normalised=layout.normalised
    )
    if text.padding is not None:
        check_text_padding(layout, text.padding.length, type(model).__name__)
    image = _image_tower(family, model, layout, options)
    config = CheckpointFiles(checkpoint.folder).json(PROMPTS_CONFIG) if layout.library else {}
    return LoadedCheckpoint(
        kind="dense",
        dim=_dim(text, image),
        normalised=layout.normalised,
        towers={"text": text, "image": image},
        prompts=read_prompts(config, options.overrides),
    )


def read_dual(folder: Path) -> tuple[DualEncoderFamily, Any]:
    """A checkpoint's row and its model, float32 in evaluation mode. Raises CheckpointUnsupported."""
    family = _family(folder)
    check_no_frame_pooling(folder)
    model, missing = read_model(family.model_class(), folder)
    check_complete(missing)
    own = (getattr(model.config, f"{tower}_pooling", None) for tower in ("text", "vision"))
    text, image = (mine or usual for mine, usual in zip(own, family.pooling, strict=True))
    return replace(family, pooling=(text, image)), model


def _dim(text: TowerModel, image: TowerModel) -> int:
    """Of both towers. Raises CheckpointUnsupported where they differ."""
    dims = [int(np.shape(tower.reference(tower.probes()[:1], 8))[1]) for tower in (text, image)]
    if dims[0] != dims[1]:
        raise CheckpointUnsupported(
            "the checkpoint's towers give vectors of different lengths, which nothing can compare",
            value=f"{dims[0]} dims of a text and {dims[1]} of an image",
            next_step="Correct the dims of its projections, or choose another checkpoint.",
        )
    return dims[0]


def _family(folder: Path) -> DualEncoderFamily:
    files = CheckpointFiles(folder)
    if files.model_type == "blip" and files.head not in ("BlipModel", "BlipForImageTextRetrieval"):
        raise CheckpointUnsupported(
            "this BLIP writes text, and has no vectors to compare",
            value=files.head or "no architecture named",
            next_step="Choose one for image-text retrieval, such as Salesforce/blip-itm-base-coco.",
        )
    return FAMILIES.get(files.head, FAMILIES[files.model_type])


def text_padding(family: DualEncoderFamily, model: Any, tokenizer: Any) -> TextPadding | None:
    """How texts are padded to one length; None where they are not. Raises CheckpointUnsupported."""
    if not family.pads_texts:
        return None
    if tokenizer.pad_token_id is None:
        raise CheckpointUnsupported(
            "the checkpoint pads every text, and its tokenizer has no padding token",
            value=type(tokenizer).__name__,
            next_step="Name its pad_token in tokenizer_config.json.",
        )
    return TextPadding(tokenizer.pad_token_id, text_positions(model), tokenizer.padding_side == "left")


def text_positions(model: Any) -> int:
    """The most tokens that the text tower takes."""
    declared = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return sources.positions(model) or declared or _UNSTATED_TOKENS


def _max_tokens(family: DualEncoderFamily, tokenizer: Any, positions: int, requested: int | None) -> int:
    """Raises CheckpointUnsupported where ``requested`` exceeds the positions."""
    if requested is None:
        return min(positions, family.max_tokens or positions, int(tokenizer.model_max_length))
    check_positions(requested, positions)
    return requested


def _image_tower(
    family: DualEncoderFamily, model: Any, layout: DualLayout, options: ExportOptions
) -> ImageTower | NaflexTower:
    overrides, folder = options.overrides, layout.home
    if is_naflex(folder):
        if overrides.frames > 1 or overrides.pooling is not None:
            frames, pooling = f"--frames {overrides.frames}", f"--pooling {overrides.pooling}"
            raise CheckpointUnsupported(
                "an image in its own shape is one input, with the pooling that it was trained with",
                value=frames if overrides.frames > 1 else pooling,
                next_step="Omit it.",
            )
        if not layout.normalised:
            raise CheckpointUnsupported(
                "vectors of images in their own shape have length 1, and the checkpoint's modules do not",
                value="no Normalize module",
                next_step="Add sentence-transformers' Normalize as its last module.",
            )
        return NaflexTower(model, folder)
    if overrides.pooling is not None:
        raise CheckpointUnsupported(
            "the two towers of this checkpoint were trained with poolings of their own",
            value=overrides.pooling,
            next_step="Omit --pooling.",
        )
    config = model.config.vision_config
    heads, hidden = attention_shape(config)
    return ImageTower(
        ImageModel(
            module=family.image_module(model),
            processor=read_processor(folder),
            preprocessing=read_preprocessing(folder),
            pooling=family.pooling[1],
            normalised=layout.normalised,
            frames=overrides.frames,
            patch=patch_edge(config),
            heads=heads,
            hidden=hidden,
        )
    )
