"""Tiny image checkpoints with random weights, one row each, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny_tokenizers import POSITIONS, bert_tokenizer, clip_tokenizer, siglip_tokenizer

EDGE = 64
"""The edge of their images in pixels; a patch's is a quarter of it."""


@dataclass(frozen=True)
class Tiny:
    """A tiny checkpoint."""

    kind: str
    """The class of transformers."""

    fields: Mapping[str, Any]
    """The fields of its config."""

    processor: str
    """The image processor's class without its ending."""

    prepared: Mapping[str, Any] = field(default_factory=dict)
    """The fields of the image processor."""

    tokenizer: Callable[[Path], int] | None = None


def write(tiny: Tiny, folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint; its numbers vary enough that different inputs get different vectors."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    if tiny.tokenizer is not None:
        tiny.tokenizer(folder)
    model_class = getattr(transformers, tiny.kind)
    model = model_class(model_class.config_class(**tiny.fields)).eval()
    spread(model)
    model.save_pretrained(folder)
    processor = getattr(transformers, f"{tiny.processor}ImageProcessorPil")
    processor(**tiny.prepared).save_pretrained(folder)
    return folder


def spread(model: torch.nn.Module, see: Callable[[torch.Tensor], Any] | None = None) -> None:
    """Set weights that keep the scale of activations, and norms that are not the identity.

    ``see`` is how a model that is not transformers' takes pixel values.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            fan = module.weight[0].numel()
            torch.nn.init.normal_(module.weight, std=1.4 / fan**0.5)
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.7)
    _measure(model, see)


def _measure(model: torch.nn.Module, see: Callable[[torch.Tensor], Any] | None) -> None:
    """Measure the statistics of batch norms, which would hide an image's values otherwise."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean of what it sees
        norm.train()
    own = getattr(model, "get_image_features", model)
    clouds = torch.nn.functional.interpolate(torch.randn(16, 3, 6, 6), size=EDGE)
    with torch.no_grad():
        for _ in norms[:1]:
            own(pixel_values=clouds) if see is None else see(clouds)
    model.eval()


_LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_TEXT = {**_LAYERS, "hidden_size": 32, "vocab_size": 600, "max_position_embeddings": POSITIONS}
_IMAGE = {**_LAYERS, "hidden_size": 48, "image_size": EDGE, "patch_size": 16}
_IMAGE_BY_RATIO = {name: value for name, value in _IMAGE.items() if name != "intermediate_size"}
_SQUARE = {"height": EDGE, "width": EDGE}
_CROPPED = {"size": {"shortest_edge": EDGE}, "crop_size": _SQUARE}
_BERT_MARKS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
_NET = {
    "image_size": EDGE,
    "hidden_dim": 1280,
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    "in_channels": [32, 16],
    "out_channels": [16, 24],
    "kernel_sizes": [3, 5],
    "strides": [2, 2],
    "num_block_repeats": [1, 2],
    "expand_ratios": [1, 4],
    "depthwise_padding": [],
}

_CLIP_TEXT = {**_TEXT, "bos_token_id": 515, "eos_token_id": 516}

# Positions are counted from behind the padding's.
_ROBERTA = {**_TEXT, **_BERT_MARKS, "max_position_embeddings": POSITIONS + 1}

DUAL: dict[str, Tiny] = {
    "align": Tiny(
        "AlignModel",
        {"text_config": {**_TEXT, "pad_token_id": 0}, "vision_config": _NET, "projection_dim": 24},
        "EfficientNet",
        {"size": _SQUARE, "do_center_crop": False},
        bert_tokenizer,
    ),
    "altclip": Tiny(
        "AltCLIPModel",
        {
            "text_config": {**_ROBERTA, "project_dim": 36},
            "vision_config": _IMAGE,
            "projection_dim": 40,
        },
        "CLIP",
        _CROPPED,
        bert_tokenizer,
    ),
    "blip": Tiny(
        "BlipModel",
        {"text_config": {**_TEXT, **_BERT_MARKS}, "vision_config": _IMAGE, "projection_dim": 40},
        "Blip",
        {"size": _SQUARE},
        bert_tokenizer,
    ),
    "blip-itm": Tiny(
        "BlipForImageTextRetrieval",
        {
            "text_config": {**_TEXT, **_BERT_MARKS, "encoder_hidden_size": 48},
            "vision_config": _IMAGE,
            "image_text_hidden_size": 40,
        },
        "Blip",
        {"size": _SQUARE},
        bert_tokenizer,
    ),
    "chinese_clip": Tiny(
        "ChineseCLIPModel",
        {"text_config": {**_TEXT, "pad_token_id": 0}, "vision_config": _IMAGE, "projection_dim": 40},
        "ChineseCLIP",
        {"size": _SQUARE, "crop_size": _SQUARE},
        bert_tokenizer,
    ),
    "clip": Tiny(
        "CLIPModel",
        {"text_config": _CLIP_TEXT, "vision_config": _IMAGE, "projection_dim": 40},
        "CLIP",
        _CROPPED,
        clip_tokenizer,
    ),
    # OpenAI's checkpoints say 2, and mean the highest id.
    "clip-openai": Tiny(
        "CLIPModel",
        {
            "text_config": {**_CLIP_TEXT, "vocab_size": 517, "bos_token_id": 0, "eos_token_id": 2},
            "vision_config": _IMAGE,
            "projection_dim": 40,
        },
        "CLIP",
        _CROPPED,
        clip_tokenizer,
    ),
    "metaclip_2": Tiny(
        "MetaClip2Model",
        {"text_config": _CLIP_TEXT, "vision_config": _IMAGE, "projection_dim": 40},
        "CLIP",
        _CROPPED,
        clip_tokenizer,
    ),
    "siglip": Tiny(
        "SiglipModel",
        {
            "text_config": {**_TEXT, "hidden_size": 48, "projection_size": 48, "pad_token_id": 1},
            "vision_config": _IMAGE,
        },
        "Siglip",
        {"size": _SQUARE},
        siglip_tokenizer,
    ),
    "vision-text-dual-encoder": Tiny(
        "VisionTextDualEncoderModel",
        {
            "text_config": {**_TEXT, "model_type": "bert"},
            "vision_config": {**_IMAGE, "model_type": "vit"},
            "projection_dim": 40,
        },
        "ViT",
        {"size": _SQUARE},
        bert_tokenizer,
    ),
}
"""Checkpoints of two towers."""

NAFLEX = Tiny(
    "Siglip2Model",
    {
        "text_config": {**_TEXT, "hidden_size": 48, "projection_size": 48, "pad_token_id": 1},
        "vision_config": {**_LAYERS, "hidden_size": 48, "patch_size": 16, "num_patches": 16},
    },
    "Siglip2",
    {"patch_size": 16, "max_num_patches": 24},
    siglip_tokenizer,
)
"""Two towers, one of which reads images in their own shapes."""

_STAGES = {"depths": [1, 2], "hidden_sizes": [24, 48], "num_stages": 2}

_FOUR = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]}

VISION: dict[str, Tiny] = {
    "beit": Tiny("BeitModel", {**_IMAGE, "use_mean_pooling": True}, "Beit", {"size": _SQUARE}),
    "convnext": Tiny("ConvNextModel", _STAGES, "ConvNext", {"size": {"shortest_edge": EDGE}}),
    "convnextv2": Tiny("ConvNextV2Model", _STAGES, "ConvNext", {"size": {"shortest_edge": EDGE}}),
    "deit": Tiny("DeiTModel", _IMAGE, "DeiT", {"size": {"height": 72, "width": 72}, "crop_size": _SQUARE}),
    # Trained at a different size from the one that it reads.
    "dinov2": Tiny(
        "Dinov2Model",
        {**_IMAGE_BY_RATIO, "image_size": 112},
        "Bit",
        {"size": {"shortest_edge": 73}, "crop_size": _SQUARE},
    ),
    "dinov2_with_registers": Tiny(
        "Dinov2WithRegistersModel",
        {**_IMAGE_BY_RATIO, "image_size": 112, "num_register_tokens": 4},
        "Bit",
        {"size": {"shortest_edge": EDGE}, "crop_size": _SQUARE},
    ),
    "dinov3_convnext": Tiny("DINOv3ConvNextModel", {**_FOUR, "image_size": EDGE}, "ViT", {"size": _SQUARE}),
    "dinov3_vit": Tiny("DINOv3ViTModel", {**_IMAGE, "num_register_tokens": 4}, "ViT", {"size": _SQUARE}),
    "efficientnet": Tiny("EfficientNetModel", _NET, "EfficientNet", {"size": _SQUARE}),
    "focalnet": Tiny(
        "FocalNetModel",
        {
            "image_size": EDGE,
            "embed_dim": 24,
            "depths": [1, 1],
            "hidden_sizes": [24, 48],
            "focal_levels": [2, 2],
            "focal_windows": [3, 3],
        },
        "ViT",
        {"size": _SQUARE},
    ),
    "levit": Tiny(
        "LevitModel",
        {
            "image_size": EDGE,
            "hidden_sizes": [16, 24, 32],
            "num_attention_heads": [2, 3, 4],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
        "Levit",
        {"size": {"shortest_edge": EDGE}, "crop_size": _SQUARE},
    ),
    "resnet": Tiny(
        "ResNetModel",
        {"embedding_size": 16, "hidden_sizes": [32, 64], "depths": [1, 2]},
        "ConvNext",
        {"size": {"shortest_edge": EDGE}},
    ),
    "siglip": Tiny("SiglipVisionModel", _IMAGE, "Siglip", {"size": _SQUARE}),
    "swiftformer": Tiny(
        "SwiftFormerModel",
        {"image_size": EDGE, "depths": [1, 1, 1, 1], "embed_dims": [8, 16, 24, 32]},
        "ViT",
        {"size": _SQUARE},
    ),
    "swin": Tiny(
        "SwinModel",
        {"image_size": EDGE, "embed_dim": 24, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4},
        "ViT",
        {"size": _SQUARE},
    ),
    "vit": Tiny("ViTModel", _IMAGE, "ViT", {"size": _SQUARE}),
    "vit-classifier": Tiny("ViTForImageClassification", _IMAGE, "ViT", {"size": _SQUARE}),
}
"""Checkpoints of an image tower alone."""
