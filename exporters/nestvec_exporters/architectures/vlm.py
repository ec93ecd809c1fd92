"""Vision-language models as encoders (VLM2Vec, Jiang et al. 2024): an image and a text to the last token.

One graph reads messages of all kinds (``vision.vlm_graph``). Every image is brought to one size, so that it
has as many tokens as any other: Qwen's models, which keep an image's shape, get it resized to a square.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from nestvec_exporters.checkpoints.chat_template import message_settings, read_chat
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.max_length import DEFAULT_MAX_TOKENS, check_positions
from nestvec_exporters.checkpoints.prompts import folder_prompts
from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer, read_tokenizer
from nestvec_exporters.checkpoints.weights import check_complete, read_model
from nestvec_exporters.graph.float16_range import check_module_range
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.probes.texts import probe_texts
from nestvec_exporters.vision.image_tower import PIXELS, read_preprocessing, read_processor
from nestvec_exporters.vision.qwen_vision import DeepstackVision, QwenVision
from nestvec_exporters.vision.vlm_graph import ImageInput, trace_vision_language
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.preprocessing.chat import render_message, truncate_message
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.preprocessing.pixels import ImageTransform, image_pixels
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower

_MIN_TEXT_TOKENS: Final = 64
"""Tokens that a text has beside its image, at least."""

_RANGE_PROBES: Final = (0, 1, 16, 18, 20, 22)
"""Of the messages to compare by, two texts, images alone and images with texts."""

_NO_IMAGE: Final = np.zeros((1, 1, 3), np.uint8)

Message = tuple[Image.Image | None, str]
"""An image, or None, and a text, which may be empty."""


class LlavaVision(nn.Module):
    """Pixel values, (k, 3, height, width) float32, to the language model's vectors, (k, count, hidden)."""

    def __init__(self, model: Any, transform: ImageTransform) -> None:
        super().__init__()
        self.tower, self.projector = model.vision_tower, model.multi_modal_projector
        layer = model.config.vision_feature_layer
        self.layers = [layer] if isinstance(layer, int) else list(layer)
        # The class token is no part of the image.
        self.start = 1 if model.config.vision_feature_select_strategy == "default" else 0
        with torch.no_grad():
            self.count = self(torch.zeros((1, 3, transform.height, transform.width))).shape[1]

    def forward(self, values: Tensor) -> Tensor:
        """The vectors of each image."""
        hidden = self.tower(values, output_hidden_states=True).hidden_states
        vectors: Tensor = self.projector(
            torch.cat([hidden[at][:, self.start :] for at in self.layers], dim=-1)
        )
        return vectors


def _qwen_vision(model: Any, transform: ImageTransform) -> QwenVision:
    return QwenVision(model.visual, transform)


def _deepstack_vision(model: Any, transform: ImageTransform) -> DeepstackVision:
    return DeepstackVision(model.visual, transform)


@dataclass(frozen=True)
class VisionLanguageFamily:
    """A class of transformers and how it reads images."""

    class_name: str

    vision: Callable[[Any, ImageTransform], Any]
    """The image encoder of a model of the class."""

    planar: bool
    """Whether positions have three axes."""


FAMILIES: Final[dict[str, VisionLanguageFamily]] = {
    "llava": VisionLanguageFamily("LlavaModel", LlavaVision, planar=False),
    "qwen2_5_vl": VisionLanguageFamily("Qwen2_5_VLModel", _qwen_vision, planar=True),
    "qwen2_vl": VisionLanguageFamily("Qwen2VLModel", _qwen_vision, planar=True),
    "qwen3_vl": VisionLanguageFamily("Qwen3VLModel", _deepstack_vision, planar=True),
}
"""By ``model_type``."""


class VisionLanguageTower(TowerModel):
    """A vision-language model: messages to its last token's vectors.

    A row has at least ``min_tokens`` tokens of room: what an image and a few words take.
    """

    def __init__(self, model: Any, image_input: ImageInput, folder: Path, options: ExportOptions) -> None:
        self.model, self.image_input = model, image_input
        self.own_tokenizer, self.processor = read_tokenizer(folder), read_processor(folder)
        self.chat = read_chat(
            folder, self.own_tokenizer, model.config, image_input.image_tokens, options.overrides.layout
        )
        self.min_tokens = _MIN_TEXT_TOKENS + len(self._ids(render_message(self.chat, "", pictured=True).text))
        self.transform = image_input.preprocessing.transform
        self.spec = Tower(
            inputs=(*INPUTS, PIXELS),
            output=OUTPUT,
            pooling="lasttoken",
            max_tokens=_max_tokens(
                options.max_tokens, self.text_config.max_position_embeddings, self.min_tokens
            ),
            image_transform=self.transform,
            chat=self.chat,
        )
        self.example = _example(image_input)
        self.dynamic_axes = {
            **{name: {1: "tokens"} for name in INPUTS},
            PIXELS: {1: "height", 2: "width"},
        }
        self.in_precision = options.precision == "fp16"

    @property
    def text_config(self) -> Any:
        """The configuration of the language model."""
        return self.model.config.get_text_config()

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """One graph for messages with an image and without, in the precision of the export."""
        language = self.model.language_model
        example = [torch.from_numpy(array) for array in self.example.values()]
        traced = trace_vision_language(language, self.image_input, example, half=self.in_precision)
        return traced.eval()

    def rows(self, folder: Path, inputs: Sequence[Any], max_tokens: int) -> list[Arrays]:
        """Messages to rows of ids and pixels."""
        return message_rows(self.spec, folder, inputs, max(max_tokens, self.min_tokens))

    def reference(self, inputs: Sequence[Any], max_tokens: int) -> Array:
        """The checkpoint's own vectors, (n, dim) float32, one message at a time: nothing is cut."""
        with torch.no_grad():
            return np.stack([self._reference_vector(*_image_and_text(item)) for item in inputs])

    def probes(self) -> Sequence[Any]:
        """Messages with and without an image."""
        return probe_messages()

    def save(self, folder: Path) -> None:
        """Write the tokenizer."""
        fast_tokenizer(self.own_tokenizer).save(str(folder / TOKENIZER))

    def _ids(self, text: str, **options: Any) -> Any:
        return self.own_tokenizer(text, **options)["input_ids"]

    def _reference_vector(self, image: Image.Image | None, text: str) -> Array:
        message = render_message(self.chat, text, pictured=image is not None).text
        ids = self._ids(message, return_tensors="pt", add_special_tokens=self.chat.special)
        arrays = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if image is not None:
            square = Image.fromarray(image_pixels(image, self.transform))
            processed = self.processor(square).items()
            arrays |= {name: torch.as_tensor(np.asarray(value)) for name, value in processed}
            if "mm_token_type_ids" in inspect.signature(self.model.forward).parameters:
                # Since transformers 5, positions are computed from what each token is.
                arrays["mm_token_type_ids"] = (ids == self.chat.token).int()
        last = self.model(**arrays, use_cache=False).last_hidden_state[:, -1]
        vector: Array = nn.functional.normalize(last, p=2.0, dim=1)[0].numpy()
        return vector


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported, and EncoderError for unsupported options."""
    import transformers  # noqa: PLC0415 - slow

    _check_options(options)
    folder = checkpoint.folder
    message_settings(folder)  # refuses what a layout of one's own would not read
    family = FAMILIES[CheckpointFiles(folder).model_type]
    model, missing = read_model(getattr(transformers, family.class_name), folder)
    check_complete(missing)
    tower = VisionLanguageTower(model, _image_input(family, model, folder), folder, options)
    if tower.in_precision:
        check_module_range(tower, model, [tower.probes()[at] for at in _RANGE_PROBES])
    return LoadedCheckpoint(
        kind="dense",
        dim=tower.text_config.hidden_size,
        normalised=True,
        towers={"text": tower},
        prompts=folder_prompts(folder, options.overrides),
    )


def message_rows(spec: Tower, folder: Path, inputs: Sequence[Any], max_tokens: int) -> list[Arrays]:
    """Messages, or texts alone, to rows of at most ``max_tokens`` tokens."""
    chat, transform = spec.chat, spec.image_transform
    if chat is None or transform is None:
        raise ValueError("the tower reads no messages")
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    rows: list[Arrays] = []
    for item in inputs:
        image, text = _image_and_text(item)
        message = render_message(chat, text, pictured=image is not None)
        read = tokenizer.encode(message.text, add_special_tokens=chat.special)
        ids, offsets = np.asarray(read.ids, np.int64), np.asarray(read.offsets, np.int64).reshape(-1, 2)
        levels = _NO_IMAGE if image is None else image_pixels(image, transform)
        rows.append(
            {"input_ids": truncate_message(ids, offsets, message, max_tokens, "right"), PIXELS: levels}
        )
    return rows


def _image_and_text(item: Any) -> tuple[Image.Image | None, str]:
    return (None, item) if isinstance(item, str) else item


def probe_messages() -> list[Message]:
    """Texts alone, which make a batch without images; images alone and with texts; and all mixed."""
    texts = [" ".join(text.split()[:12]) for text in probe_texts()[:24]]
    images = probe_images()
    mixed: list[Message] = [(None, text) for text in texts[:16]]
    for at, text in enumerate(texts[16:]):
        mixed += [(images[at], ""), (None, text), (images[at], text), (images[at + 8], text)]
    return mixed


def _image_input(family: VisionLanguageFamily, model: Any, folder: Path) -> ImageInput:
    if not hasattr(model, "language_model"):
        raise CheckpointUnsupported(
            "the installed transformers has an older layout of this architecture",
            value=family.class_name,
            next_step="Upgrade transformers.",
        )
    preprocessing = read_preprocessing(folder)
    transform = preprocessing.transform
    vision = family.vision(model, transform)
    grid = tuple(edge // vision.merge for edge in vision.grid) if family.planar else None
    return ImageInput(
        vision=vision,
        preprocessing=preprocessing,
        image_token=model.config.image_token_id,
        image_tokens=vision.count,
        grid=grid,
        deep=getattr(vision, "deep", 0),
    )


def _example(image_input: ImageInput) -> dict[str, Array]:
    """Two messages with an image."""
    transform = image_input.preprocessing.transform
    ids = np.ones((2, image_input.image_tokens + 8), np.int64)
    ids[:, 2 : 2 + image_input.image_tokens] = image_input.image_token
    levels = np.zeros((2, transform.height, transform.width, 3), np.uint8)
    return {INPUTS[0]: ids, INPUTS[1]: np.ones_like(ids), PIXELS: levels}


def _max_tokens(requested: int | None, positions: int, min_tokens: int) -> int:
    """The longest message. Raises CheckpointUnsupported where an image and a few words do not fit it."""
    check_positions(requested or 1, positions)
    max_tokens = min(requested or DEFAULT_MAX_TOKENS, positions)
    if max_tokens < min_tokens:
        raise CheckpointUnsupported(
            f"an image and {_MIN_TEXT_TOKENS} tokens of text take more tokens than an input may have",
            value=f"{min_tokens}, and {max_tokens} are allowed",
            next_step="Give a larger --max-tokens, or a checkpoint with smaller images.",
        )
    return max_tokens


def _check_options(options: ExportOptions) -> None:
    """Raise EncoderError for options that a message to a chat model does not support."""
    overrides = options.overrides
    for flag, is_set in (
        ("--pooling", overrides.pooling not in (None, "lasttoken")),
        ("--bidirectional", overrides.bidirectional),
        ("--frames", overrides.frames > 1),
        ("--format tensorrt", options.format == "tensorrt"),
        ("--tensorrt", options.accelerate),
    ):
        if is_set:
            raise EncoderError(
                "a vision-language model gives its last token's vector of one image, run by ONNX Runtime",
                value=flag,
                next_step=f"Omit {flag}.",
            )
