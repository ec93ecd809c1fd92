"""EfficientNet-Lite (Google 2020), a small classifier of images that transformers lacks, as a class of it.

Importing this makes the Auto classes of transformers know ``model_type`` efficientnet_lite. ``convert``
writes a checkpoint from the weights that PyTorch packages carry.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)

from nestvec_schemas.errors import CheckpointUnsupported

SIZES: Final[dict[str, tuple[float, float, int]]] = {
    "efficientnet-lite0": (1.0, 1.0, 224),
    "efficientnet-lite1": (1.0, 1.1, 240),
    "efficientnet-lite2": (1.1, 1.2, 260),
    "efficientnet-lite3": (1.2, 1.4, 280),
    "efficientnet-lite4": (1.4, 1.8, 300),
}
"""Width, depth and the edge of the images in pixels, by name."""

# Kernel, stride, times the channels inside, channels, blocks: before width and depth.
_STAGES: Final = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM: Final = 32
_FEATURES: Final = 1280
_EPSILON: Final = 1e-3


class EfficientNetLiteConfig(PretrainedConfig):
    """``image_size`` is the edge of an image in pixels, ``width`` and ``depth`` what SIZES has."""

    model_type = "efficientnet_lite"

    image_size: int = 224
    width: float = 1.0
    depth: float = 1.0


class _Convolution(nn.Module):
    """Convolution, batch norm and ReLU6, padded as TensorFlow pads (SAME) for images of one size."""

    def __init__(
        self, channels: tuple[int, int], kernel: int, stride: int, edge: int, groups: int = 1
    ) -> None:
        super().__init__()
        spare = max((math.ceil(edge / stride) - 1) * stride + kernel - edge, 0)
        before, behind = spare // 2, spare - spare // 2
        self.pad = nn.ZeroPad2d((before, behind, before, behind))
        self.convolution = nn.Conv2d(*channels, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels[1], eps=_EPSILON)

    def forward(self, values: Tensor) -> Tensor:
        features: Tensor = self.norm(self.convolution(self.pad(values)))
        return features


class _Block(nn.Module):
    """An inverted residual (MobileNetV2, Sandler et al. 2018) without squeeze and excitation."""

    def __init__(
        self, channels: tuple[int, int], kernel: int, stride: int, expansion: int, edge: int
    ) -> None:
        super().__init__()
        expanded = channels[0] * expansion
        self.expand = _Convolution((channels[0], expanded), 1, 1, edge) if expansion > 1 else None
        self.depthwise = _Convolution((expanded, expanded), kernel, stride, edge, groups=expanded)
        self.project = _Convolution((expanded, channels[1]), 1, 1, math.ceil(edge / stride))
        self.residual = stride == 1 and channels[0] == channels[1]

    def forward(self, values: Tensor) -> Tensor:
        features: Tensor = values if self.expand is None else nn.functional.relu6(self.expand(values))
        features = self.project(nn.functional.relu6(self.depthwise(features)))
        return features + values if self.residual else features


class _PreTrained(PreTrainedModel):
    config_class = EfficientNetLiteConfig
    base_model_prefix = "efficientnet_lite"
    main_input_name = "pixel_values"


class EfficientNetLiteModel(_PreTrained):
    """Pixel values, (n, 3, edge, edge) float32, to features: a map of them and its mean, (n, 1280)."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        edge = math.ceil(config.image_size / 2)
        self.stem = _Convolution((3, _STEM), 3, 2, config.image_size)
        self.blocks = nn.ModuleList()
        channels = _STEM
        for number, (kernel, stride, expansion, base_channels, repeats) in enumerate(_STAGES):
            out_channels = _rounded(base_channels, config.width)
            fixed = number in (0, len(_STAGES) - 1)
            for at in range(repeats if fixed else math.ceil(repeats * config.depth)):
                step = stride if at == 0 else 1
                self.blocks.append(_Block((channels, out_channels), kernel, step, expansion, edge))
                channels, edge = out_channels, math.ceil(edge / step)
        self.head = _Convolution((channels, _FEATURES), 1, 1, edge)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, pixel_values: Tensor) -> BaseModelOutputWithPoolingAndNoAttention:
        """As transformers' models of images answer."""
        features = nn.functional.relu6(self.stem(pixel_values))
        for block in self.blocks:
            features = block(features)
        features = nn.functional.relu6(self.head(features))
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=features, pooler_output=features.mean(dim=(2, 3), keepdim=True)
        )


class EfficientNetLiteForImageClassification(_PreTrained):
    """The same followed by a score for each class, (n, classes)."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.efficientnet_lite = EfficientNetLiteModel(config)
        self.classifier = nn.Linear(_FEATURES, len(config.id2label or ()))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, pixel_values: Tensor) -> ImageClassifierOutputWithNoAttention:
        """As transformers' classifiers answer."""
        features = self.efficientnet_lite(pixel_values).pooler_output.flatten(1)
        return ImageClassifierOutputWithNoAttention(logits=self.classifier(features))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a ``.pth`` file, read without running what else it may hold."""
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def convert(weights: Mapping[str, Tensor], folder: Path, labels: Sequence[str], name: str) -> None:
    """Write a checkpoint as transformers reads it: configuration, safetensors, preprocessing.

    ``weights`` is the state of a model of efficientnet_lite_pytorch, which its packages carry, ``name`` one
    of SIZES, ``labels`` the names of its classes in order. Raises CheckpointUnsupported where they do not
    fit together.
    """
    width, depth, edge = SIZES[name]
    config = EfficientNetLiteConfig(
        image_size=edge, width=width, depth=depth, id2label=dict(enumerate(labels)), label2id={}
    )
    model = EfficientNetLiteForImageClassification(config)
    try:
        model.load_state_dict({_renamed(name): value for name, value in weights.items()})
    except RuntimeError as error:
        raise CheckpointUnsupported(
            f"these are not the weights of {name} with {len(labels)} classes",
            value=str(error).strip().splitlines()[-1].strip(),
            next_step="Name the right one of " + ", ".join(SIZES) + ", and its classes.",
        ) from error
    model.train(False).save_pretrained(folder)
    prepared = {
        "image_processor_type": "ViTImageProcessor",
        # The whole image, though its authors crop: what a crop cuts off is not found.
        "size": {"height": edge, "width": edge},
        "resample": 3,
        # (x - 127) / 128 of levels from 0 to 255.
        "image_mean": [127 / 255] * 3,
        "image_std": [128 / 255] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared, indent=2) + "\n", "utf-8")


_PARTS: Final = (
    (r"^_conv_stem\.", "stem.convolution."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.convolution."),
    (r"^_bn1\.", "head.norm."),
    (r"^_blocks\.(\d+)\._(expand|depthwise|project)_conv\.", r"blocks.\1.\2.convolution."),
    # A block without expansion counts its norms from 1 all the same.
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
)


def _renamed(name: str) -> str:
    """The name that a weight has here."""
    if name.startswith("_fc."):
        return name.replace("_fc.", "classifier.")
    for pattern, new in _PARTS:
        name = re.sub(pattern, new, name)
    return f"{EfficientNetLiteModel.base_model_prefix}.{name}"


def _rounded(channels: int, width: float) -> int:
    """Channels times width, a multiple of 8 that is not much smaller (Tan & Le 2019)."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)
AutoModelForImageClassification.register(
    EfficientNetLiteConfig, EfficientNetLiteForImageClassification, exist_ok=True
)
