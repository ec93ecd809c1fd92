"""Image and text in one space: CLIP and its kin, each tower pooled and projected as transformers does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from nestvec_exporters.architectures import sentence_transformer as sources
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.max_length import check_positions
from nestvec_exporters.checkpoints.tokenizer import plain_tokenizer, read_tokenizer
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.graph.recurrent_pooling import check_no_pooling
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.triton import INPUTS, OUTPUT
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts, text_rows
from nestvec_exporters.vision.image_tower import (
    ImageTower,
    attention_of,
    image_half,
    patch_of,
    read_preprocessing,
    read_processor,
)
from nestvec_exporters.vision.naflex import is_naflex, naflex_half
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

_UNSTATED_TOKENS: Final = 512

TextOf = Callable[[Any, Tensor, Tensor | None], Tensor]
ImageOf = Callable[[Any, Tensor], Tensor]


def _text_features(model: Any, ids: Tensor, mask: Tensor | None) -> Tensor:
    return _pooled(model.get_text_features(input_ids=ids, attention_mask=mask))


def _image_features(model: Any, values: Tensor) -> Tensor:
    return _pooled(model.get_image_features(pixel_values=values))


def _pooled(found: Any) -> Tensor:
    """Transformers 5 answers with all that it computed, 4 with the vectors."""
    vectors: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return vectors


def _blip_text(model: Any, ids: Tensor, mask: Tensor | None) -> Tensor:
    tokens = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    vectors: Tensor = model.text_proj(tokens[:, 0])
    return vectors


def _blip_image(model: Any, values: Tensor) -> Tensor:
    vectors: Tensor = model.vision_proj(model.vision_model(pixel_values=values).last_hidden_state[:, 0])
    return vectors


@dataclass(frozen=True)
class Row:
    """A class of transformers, and how it gives vectors of texts (ids and mask) and of pictures.

    ``pooling``: of text and image, for people. ``filled``: every text is padded to the model's longest, and
    the padding read like words, as the model was trained. ``tokens``: longest text, where the checkpoint
    takes fewer than it has positions for. ``home`` is the module that has the class.
    """

    kind: str
    pooling: tuple[str, str]
    text: TextOf = _text_features
    image: ImageOf = _image_features
    filled: bool = False
    tokens: int | None = None
    home: str = "transformers"

    def model_class(self) -> Any:
        """The class; imports transformers."""
        return getattr(import_module(self.home), self.kind)

    def pictures(self, model: Any) -> nn.Module:
        """Pixel values to vectors, of a model of this class."""
        return _Image(self, model)


ROWS: Final[dict[str, Row]] = {
    "align": Row("AlignModel", ("cls", "mean"), tokens=64),
    "altclip": Row("AltCLIPModel", ("cls", "cls")),
    "blip": Row("BlipModel", ("pooler", "cls")),
    # ALBEF's contrastive half (Li et al. 2021): its two towers before they attend to one another.
    "BlipForImageTextRetrieval": Row(
        "BlipForImageTextRetrieval", ("cls", "cls"), text=_blip_text, image=_blip_image
    ),
    "chinese_clip": Row("ChineseCLIPModel", ("cls", "cls")),
    "clip": Row("CLIPModel", ("eos", "cls")),
    "metaclip_2": Row("MetaClip2Model", ("eos", "cls")),
    "siglip": Row("SiglipModel", ("last", "attention"), filled=True),
    # In a picture's own shape (NaFlex); SigLIP 2 of one size is saved as the first.
    "siglip2": Row("Siglip2Model", ("last", "attention"), filled=True),
    # ConVIRT (Zhang et al. 2020) and LiT (Zhai et al. 2022): any vision tower beside any text tower.
    "vision-text-dual-encoder": Row("VisionTextDualEncoderModel", ("pooler", "pooler")),
    # Made by adapt; its config.json says how each tower is pooled.
    "nestvec-pooled-dual": Row(
        "PooledDualEncoderModel", ("mean", "pooler"), home="nestvec_exporters.vision.pooled_dual"
    ),
}
"""By the class that was saved, where it has a row of its own, else by ``model_type``."""


class _Text(nn.Module):
    def __init__(self, row: Row, model: Any) -> None:
        super().__init__()
        self.model, self.row = model, row

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        return self.row.text(self.model, ids, mask)


class _Image(nn.Module):
    def __init__(self, row: Row, model: Any) -> None:
        super().__init__()
        self.model, self.row = model, row

    def forward(self, values: Tensor) -> Tensor:
        return self.row.image(self.model, values)


@dataclass(frozen=True)
class Filling:
    """The id that a text is filled up with to ``positions`` tokens, behind it or before it."""

    filler: int
    positions: int
    before: bool


class TextGraph(nn.Module):
    """Ids and mask, (n, tokens) int64 padded on the right, to vectors of length 1, (n, dim) float32.

    Without ``filling`` its padding has no part in a text's vector.
    """

    def __init__(self, row: Row, model: Any, filling: Filling | None) -> None:
        super().__init__()
        self.transformer = _Text(row, model)
        self.filling = filling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        """A vector a text."""
        if self.filling is None:
            vectors = self.transformer(input_ids, attention_mask)
        else:
            vectors = self.transformer(self._filled(input_ids, attention_mask, self.filling), None)
        return (nn.functional.normalize(vectors, p=2.0, dim=1),)

    def _filled(self, ids: Tensor, mask: Tensor, how: Filling) -> Tensor:
        more = torch.full((ids.shape[0], how.positions), how.filler, dtype=torch.int64, device=ids.device)
        filled = torch.cat([ids.masked_fill(mask == 0, how.filler), more], dim=1)[:, : how.positions]
        if not how.before:
            return filled
        missing = how.positions - mask.sum(dim=1, keepdim=True)
        places = torch.arange(how.positions, device=ids.device)[None] - missing
        return torch.where(places < 0, how.filler, filled.gather(1, places.clamp(min=0)))


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they do not make two towers of one space."""
    row, model = read_dual(checkpoint.folder)
    text = _text_half(row, model, checkpoint.folder, options.max_tokens)
    image = _image_half(row, model, checkpoint.folder, options)
    dim = _dim(text, image)
    return Loaded(
        kind="dense",
        dim=dim,
        normalised=True,
        halves={"text": text, "image": image},
        prompts=options.overrides.prompts,
    )


def read_dual(folder: Path) -> tuple[Row, Any]:
    """A checkpoint's row and its model, float32 in evaluation mode. Raises CheckpointUnsupported."""
    row = _row(folder)
    check_no_pooling(folder)
    model, missing = read_model(row.model_class(), folder)
    check_complete(missing)
    own = (getattr(model.config, f"{tower}_pooling", None) for tower in ("text", "vision"))
    text, image = (mine or usual for mine, usual in zip(own, row.pooling, strict=True))
    return replace(row, pooling=(text, image)), model


def _dim(text: Half, image: Half) -> int:
    """Of both towers. Raises CheckpointUnsupported where they have not the same."""
    dims = [int(np.shape(half.reference(half.probes()[:1], 8))[1]) for half in (text, image)]
    if dims[0] != dims[1]:
        raise CheckpointUnsupported(
            "the checkpoint's towers give vectors of different lengths, which nothing can compare",
            value=f"{dims[0]} dims of a text and {dims[1]} of a picture",
            next_step="Correct the dims of its projections, or choose another checkpoint.",
        )
    return dims[0]


def _row(folder: Path) -> Row:
    small = CheckpointFiles(folder)
    if small.model_type == "blip" and small.head not in ("BlipModel", "BlipForImageTextRetrieval"):
        raise CheckpointUnsupported(
            "this BLIP writes text, and has no vectors to compare",
            value=small.head or "no architecture named",
            next_step="Choose one for image-text retrieval, such as Salesforce/blip-itm-base-coco.",
        )
    return ROWS.get(small.head, ROWS[small.model_type])


def _text_half(row: Row, model: Any, folder: Path, asked: int | None) -> Half:
    tokenizer = read_tokenizer(folder)
    positions = positions_of(model)
    tokens = _max_tokens(row, tokenizer, positions, asked)
    filling = filling_of(row, model, tokenizer)
    heads, hidden = attention_of(model.config.text_config)
    return Half(
        tower=Tower(inputs=INPUTS, output=OUTPUT, pooling=row.pooling[0], max_tokens=tokens),
        build=lambda exits: TextGraph(row, model, filling),
        example=dict.fromkeys(INPUTS, torch.ones((2, min(16, tokens)), dtype=torch.int64)),
        axes={name: {1: "tokens"} for name in INPUTS},
        rows=text_rows,
        reference=partial(_texts, row, model, tokenizer, filling),
        probes=probe_texts,
        save=partial(_save, tokenizer),
        heads=heads,
        hidden=hidden,
    )


def filling_of(row: Row, model: Any, tokenizer: Any) -> Filling | None:
    """How texts are filled up, None where they are not. Raises CheckpointUnsupported without a padding."""
    if not row.filled:
        return None
    if tokenizer.pad_token_id is None:
        raise CheckpointUnsupported(
            "the checkpoint's texts are filled with padding, and its tokenizer has none",
            value=type(tokenizer).__name__,
            next_step="Name its pad_token in tokenizer_config.json.",
        )
    return Filling(tokenizer.pad_token_id, positions_of(model), tokenizer.padding_side == "left")


def positions_of(model: Any) -> int:
    """The most tokens that the text tower takes."""
    return sources.positions(model) or _UNSTATED_TOKENS


def _max_tokens(row: Row, tokenizer: Any, positions: int, asked: int | None) -> int:
    """Raises CheckpointUnsupported where ``asked`` is more than there are positions."""
    if asked is None:
        return min(positions, row.tokens or positions, int(tokenizer.model_max_length))
    check_positions(asked, positions)
    return asked


def _save(tokenizer: Any, folder: Path) -> None:
    plain_tokenizer(tokenizer).save(str(folder / TOKENIZER))


def _image_half(row: Row, model: Any, folder: Path, options: ExportOptions) -> Half:
    if not is_naflex(folder):
        return image_half(_image_tower(row, model, folder, options))
    asked = options.overrides
    if asked.frames > 1 or asked.pooling is not None:
        raise CheckpointUnsupported(
            "a picture in its own shape is one input, with the pooling that it was trained with",
            value=f"--frames {asked.frames}" if asked.frames > 1 else f"--pooling {asked.pooling}",
            next_step="Leave it away.",
        )
    return naflex_half(model, folder)


def _image_tower(row: Row, model: Any, folder: Path, options: ExportOptions) -> ImageTower:
    if options.overrides.pooling is not None:
        raise CheckpointUnsupported(
            "the two towers of this checkpoint were trained with poolings of their own",
            value=options.overrides.pooling,
            next_step="Leave --pooling away.",
        )
    config = model.config.vision_config
    heads, hidden = attention_of(config)
    return ImageTower(
        module=row.pictures(model),
        processor=read_processor(folder),
        how=read_preprocessing(folder),
        pooling=row.pooling[1],
        unit=True,
        frames=options.overrides.frames,
        patch=patch_of(config),
        heads=heads,
        hidden=hidden,
    )


def _texts(
    row: Row, model: Any, tokenizer: Any, filling: Filling | None, texts: Sequence[str], tokens: int
) -> Vectors:
    """The checkpoint's own vectors of texts cut at ``tokens``, (n, dim) float32, one at a time."""
    found = []
    with torch.no_grad():
        for text in texts:
            told = tokenizer(text, truncation=True, max_length=tokens, return_tensors=None)
            ids = list(told["input_ids"])
            if filling is not None:
                more = [filling.filler] * (filling.positions - len(ids))
                ids = more + ids if filling.before else ids + more
            row_ids = torch.tensor([ids], dtype=torch.int64)
            vectors = row.text(model, row_ids, None if filling else torch.ones_like(row_ids))
            found.append(nn.functional.normalize(vectors, p=2.0, dim=1)[0].numpy())
    return np.stack(found)
