"""Vision-language models as encoders (VLM2Vec, Jiang et al. 2024): a picture and a text to the last token.

One graph reads messages of all kinds (``seeing``). Every picture is brought to one size, so that it has as
many tokens as any other: Qwen's models, which keep a picture's shape, see it squeezed into a square.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from nestvec_exporters.architectures.decoder import check_range
from nestvec_exporters.checkpoints.chat_template import chat_of
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.max_length import DEFAULT_TOKENS, check_positions
from nestvec_exporters.checkpoints.tokenizer import plain_tokenizer, read_tokenizer
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.triton import INPUTS, OUTPUT
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes import images
from nestvec_exporters.probes.texts import probe_texts
from nestvec_exporters.vision.image_tower import PIXELS, read_preprocessing, read_processor
from nestvec_exporters.vision.qwen_vision import QwenEyes
from nestvec_exporters.vision.vlm_graph import Sight, compiled
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.preprocessing.chat import Chat, cut, render
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.preprocessing.pixels import Picture, pixels
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower

_ROOM: Final = 64
"""Tokens that a text has beside its picture, at least."""

_RANGED: Final = (0, 1, 16, 18, 20, 22)
"""Of the messages to compare by, two texts, pictures alone and pictures with texts."""

_NO_PICTURE: Final = np.zeros((1, 1, 3), np.uint8)

Message = tuple[Image.Image | None, str]
"""A picture, or None, and a text, which may be empty."""


class LlavaEyes(nn.Module):
    """Pixel values, (k, 3, height, width) float32, to the language model's vectors, (k, count, hidden)."""

    def __init__(self, model: Any, picture: Picture) -> None:
        super().__init__()
        self.tower, self.projector = model.vision_tower, model.multi_modal_projector
        layer = model.config.vision_feature_layer
        self.layers = [layer] if isinstance(layer, int) else list(layer)
        # The class token is no part of the picture.
        self.start = 1 if model.config.vision_feature_select_strategy == "default" else 0
        with torch.no_grad():
            self.count = self(torch.zeros((1, 3, picture.height, picture.width))).shape[1]

    def forward(self, values: Tensor) -> Tensor:
        """The vectors of each picture."""
        hidden = self.tower(values, output_hidden_states=True).hidden_states
        found: Tensor = self.projector(torch.cat([hidden[at][:, self.start :] for at in self.layers], dim=-1))
        return found


def _qwen_eyes(model: Any, picture: Picture) -> QwenEyes:
    return QwenEyes(model.visual, picture)


@dataclass(frozen=True)
class Row:
    """A class of transformers, what sees in it, and whether its positions have three axes."""

    kind: str
    eyes: Callable[[Any, Picture], Any]
    planar: bool


ROWS: Final[dict[str, Row]] = {
    "llava": Row("LlavaModel", LlavaEyes, planar=False),
    "qwen2_5_vl": Row("Qwen2_5_VLModel", _qwen_eyes, planar=True),
    "qwen2_vl": Row("Qwen2VLModel", _qwen_eyes, planar=True),
}
"""By ``model_type``."""


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported, EncoderError for options that make no sense here."""
    import transformers  # noqa: PLC0415 - slow

    _check_options(options)
    folder = checkpoint.folder
    row = ROWS[CheckpointFiles(folder).model_type]
    model, missing = read_model(getattr(transformers, row.kind), folder)
    check_complete(missing)
    sight = _sight(row, model, folder)
    tokenizer = read_tokenizer(folder)
    chat = chat_of(folder, tokenizer, model.config, sight.count, options.overrides.layout)
    least = len(tokenizer(render(chat, "", pictured=True).text)["input_ids"]) + _ROOM
    text = model.config.get_text_config()
    half = Half(
        tower=Tower(
            inputs=(*INPUTS, PIXELS),
            output=OUTPUT,
            pooling="lasttoken",
            max_tokens=_max_tokens(options.max_tokens, text.max_position_embeddings, least),
            picture=sight.how.picture,
            chat=chat,
        ),
        build=lambda exits: compiled(
            model.language_model, sight, _example(sight), half=options.precision == "fp16"
        ),
        example=_example(sight),
        axes={**{name: {1: "tokens"} for name in INPUTS}, PIXELS: {1: "height", 2: "width"}},
        rows=partial(message_rows, chat, sight.how.picture, least),
        reference=partial(_reference, model, read_processor(folder), tokenizer, chat, sight.how.picture),
        probes=probes,
        save=partial(_save, tokenizer),
        lowered=options.precision == "fp16",
    )
    if options.precision == "fp16":
        check_range(half, model, [probes()[at] for at in _RANGED])
    return Loaded(
        kind="dense",
        dim=text.hidden_size,
        normalised=True,
        halves={"text": half},
        prompts=options.overrides.prompts,
    )


def message_rows(
    chat: Chat, picture: Picture, least: int, folder: Path, inputs: Sequence[Any], tokens: int
) -> list[Arrays]:
    """Messages, or texts alone, to rows of at most ``tokens`` tokens, or ``least`` if that is more.

    ``least`` is what a picture and a few words take.
    """
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    rows: list[Arrays] = []
    for given in inputs:
        image, text = (None, given) if isinstance(given, str) else given
        message = render(chat, text, pictured=image is not None)
        read = tokenizer.encode(message.text, add_special_tokens=chat.special)
        ids, offsets = np.asarray(read.ids, np.int64), np.asarray(read.offsets, np.int64).reshape(-1, 2)
        levels = _NO_PICTURE if image is None else pixels(image, picture)
        rows.append({"input_ids": cut(ids, offsets, message, max(tokens, least), "right"), PIXELS: levels})
    return rows


def probes() -> list[Message]:
    """Texts alone, which make a batch without pictures; pictures alone and with texts; and all mixed."""
    texts = [" ".join(text.split()[:12]) for text in probe_texts()[:24]]
    pictures = images.pictures()
    mixed: list[Message] = [(None, text) for text in texts[:16]]
    for at, text in enumerate(texts[16:]):
        mixed += [(pictures[at], ""), (None, text), (pictures[at], text), (pictures[at + 8], text)]
    return mixed


def _sight(row: Row, model: Any, folder: Path) -> Sight:
    if not hasattr(model, "language_model"):
        raise CheckpointUnsupported(
            "the installed transformers lays this architecture out in an older way",
            value=row.kind,
            next_step="Upgrade transformers.",
        )
    how = read_preprocessing(folder)
    picture = how.picture
    eyes = row.eyes(model, picture)
    grid = tuple(edge // eyes.merge for edge in eyes.grid) if row.planar else None
    return Sight(eyes=eyes, how=how, token=model.config.image_token_id, count=eyes.count, grid=grid)


def _example(sight: Sight) -> dict[str, Tensor]:
    """Two messages with a picture, as a trace needs them."""
    picture = sight.how.picture
    ids = torch.ones((2, sight.count + 8), dtype=torch.int64)
    ids[:, 2 : 2 + sight.count] = sight.token
    levels = torch.zeros((2, picture.height, picture.width, 3), dtype=torch.uint8)
    return {INPUTS[0]: ids, INPUTS[1]: torch.ones_like(ids), PIXELS: levels}


def _save(tokenizer: Any, folder: Path) -> None:
    plain_tokenizer(tokenizer).save(str(folder / TOKENIZER))


def _reference(
    model: Any,
    processor: Any,
    tokenizer: Any,
    chat: Chat,
    picture: Picture,
    inputs: Sequence[Any],
    tokens: int,
) -> Array:
    """The checkpoint's own vectors, (n, dim) float32, one message at a time: nothing is cut."""
    known = inspect.signature(model.forward).parameters
    found = []
    for given in inputs:
        image, text = (None, given) if isinstance(given, str) else given
        message = render(chat, text, pictured=image is not None).text
        ids = tokenizer(message, return_tensors="pt", add_special_tokens=chat.special)["input_ids"]
        arrays = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if image is not None:
            square = Image.fromarray(pixels(image, picture))
            arrays |= {name: torch.as_tensor(np.asarray(one)) for name, one in processor(square).items()}
            # Since transformers 5, positions are reckoned with what each token is.
            arrays |= {"mm_token_type_ids": (ids == chat.token).int()} if "mm_token_type_ids" in known else {}
        with torch.no_grad():
            last = model(**arrays, use_cache=False).last_hidden_state[:, -1]
        found.append(nn.functional.normalize(last, p=2.0, dim=1)[0].numpy())
    return np.stack(found)


def _max_tokens(asked: int | None, positions: int, least: int) -> int:
    """The longest message. Raises CheckpointUnsupported where a picture and a few words do not fit it."""
    check_positions(asked or 1, positions)
    most = min(asked or DEFAULT_TOKENS, positions)
    if most < least:
        raise CheckpointUnsupported(
            f"a picture and {_ROOM} tokens of text take more tokens than an input may have",
            value=f"{least}, and {most} are allowed",
            next_step="Give a larger --max-tokens, or a checkpoint with smaller pictures.",
        )
    return most


def _check_options(options: ExportOptions) -> None:
    """Raise EncoderError for what a message to a chat model has not."""
    asked = options.overrides
    for flag, given in (
        ("--pooling", asked.pooling not in (None, "lasttoken")),
        ("--bidirectional", asked.bidirectional),
        ("--frames", asked.frames > 1),
        ("--format tensorrt", options.format == "tensorrt"),
        ("--tensorrt", options.accelerate),
    ):
        if given:
            raise EncoderError(
                "a vision-language model gives its last token's vector of one picture, run by ONNX Runtime",
                value=flag,
                next_step=f"Leave {flag} away.",
            )
