"""A checkpoint's ``preprocessor_config.json`` as an ImageTransform and the numbers that go into the graph.

One row per kind of image processor, with the defaults that transformers gives it; what a kind does of its
own is a function of the row. These follow the Pillow processors of transformers 5, which agree with those of
transformers 4; torchvision's resize tensors and differ by a level in places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from PIL import Image
from pydantic import ValidationError

from nestvec_schemas.errors import CheckpointUnsupported, nearest
from nestvec_schemas.preprocessing.pixels import ImageTransform

Colour = tuple[float, float, float]
Config = Mapping[str, Any]


class Preprocessing(NamedTuple):
    """The graph computes ``(x * scale + offset - mean) / std`` of ``x = image_pixels(image, transform)``."""

    transform: ImageTransform
    scale: float
    offset: float
    mean: Colour
    std: Colour


class _Resized(NamedTuple):
    """A resize as ImageTransform names it."""

    resize: str

    edge: int | None

    size: tuple[int, int] | None
    """The resulting (height, width); None where it varies."""

    cropped: tuple[int, int] | None = None
    """The (height, width) of a crop that is part of it."""


@dataclass(frozen=True)
class _ImageProcessor:
    """An image processor's defaults, and what it does that others do not."""

    size: Config
    """As in the file."""

    mean: Colour

    std: Colour

    resample: str = "bicubic"

    crop: int | None = None
    """As in the file."""

    crops_by_default: bool = False

    square: bool = True
    """Whether a single number is both edges; otherwise it is the shorter one."""

    extra: Config | None = None
    """Defaults of settings that others do not have."""

    resize: Callable[[Config, Config], _Resized] | None = None
    """Its own reading of size and settings."""


_HALF: Final = (0.5, 0.5, 0.5)
_IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP: Final = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_NONE: Final = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

# Below this ConvNeXT crops, from here on it warps (Liu et al. 2022, its evaluation at 384).
_CONVNEXT_WARPS = 384

# 256 tokens per image.
_QWEN_EDGE = 448


def _plain_resize(size: Config, _: Config) -> _Resized:
    if set(size) == {"shortest_edge"}:
        return _Resized("shortest", size["shortest_edge"], None)
    if set(size) == {"height", "width"}:
        height, width = size["height"], size["width"]
        return _Resized("exact", height if height == width else None, (height, width))
    raise _unsupported("a resize that nestvec does not know", dict(size))


def _convnext(size: Config, config: Config) -> _Resized:
    edge = size["shortest_edge"]
    if edge >= _CONVNEXT_WARPS:
        return _Resized("exact", edge, (edge, edge))
    return _Resized("shortest", int(edge / config["crop_pct"]), None, (edge, edge))


def _levit(size: Config, config: Config) -> _Resized:
    if "shortest_edge" not in size:
        return _plain_resize(size, config)
    return _Resized("shortest", int((256 / 224) * size["shortest_edge"]), None)


def _poolformer(size: Config, config: Config) -> _Resized:
    edges = set(size.values())
    if len(edges) != 1 or not set(size) <= {"shortest_edge", "height", "width"}:
        raise _unsupported("a resize that nestvec does not know", dict(size))
    return _Resized("shortest", int(edges.pop() / config["crop_pct"]), None)


def _qwen2vl(size: Config, config: Config) -> _Resized:
    """One square for all images, so that each has as many tokens; the checkpoint itself keeps their shapes.

    ``size`` is the smallest and the largest area, in pixels.
    """
    factor = config["patch_size"] * config["merge_size"]
    least = config.get("min_pixels") or size["shortest_edge"]
    most = config.get("max_pixels") or size["longest_edge"]
    min_edge = max(_QWEN_EDGE, math.isqrt(least - 1) + 1)
    edge = min(math.isqrt(most) // factor, -(-min_edge // factor)) * factor
    if edge < factor or edge * edge < least:
        raise _unsupported("areas that no square of whole patches has", [least, most])
    return _Resized("exact", edge, (edge, edge))


_SHORTEST = {"shortest_edge": 224}
_SQUARE = {"height": 224, "width": 224}
_LIKE_CLIP = _ImageProcessor(_SHORTEST, *_CLIP, crop=224, crops_by_default=True, square=False)
_LIKE_MOBILENET = _ImageProcessor(
    {"shortest_edge": 256}, _HALF, _HALF, resample="bilinear", crop=224, crops_by_default=True, square=False
)

IMAGE_PROCESSORS: Final[dict[str, _ImageProcessor]] = {
    "Beit": _ImageProcessor(_SQUARE, _HALF, _HALF, crop=224),
    "Bit": _LIKE_CLIP,
    "Blip": _ImageProcessor({"height": 384, "width": 384}, *_CLIP),
    "CLIP": _LIKE_CLIP,
    "ChineseCLIP": _LIKE_CLIP,
    "ConvNext": _ImageProcessor(
        {"shortest_edge": 384}, _HALF, _HALF, square=False, extra={"crop_pct": 224 / 256}, resize=_convnext
    ),
    "DeiT": _ImageProcessor({"height": 256, "width": 256}, _HALF, _HALF, crop=224, crops_by_default=True),
    "EfficientNet": _ImageProcessor(
        {"height": 346, "width": 346},
        _HALF,
        _HALF,
        crop=289,
        extra={"rescale_offset": False, "include_top": True},
    ),
    "Flava": _ImageProcessor(_SQUARE, *_CLIP, crop=224, crops_by_default=True),
    "Levit": _ImageProcessor(
        _SHORTEST, *_IMAGENET, crop=224, crops_by_default=True, square=False, resize=_levit
    ),
    "MobileNetV1": _LIKE_MOBILENET,
    "MobileNetV2": _LIKE_MOBILENET,
    "PoolFormer": _ImageProcessor(
        _SHORTEST,
        *_IMAGENET,
        crop=224,
        crops_by_default=True,
        square=False,
        extra={"crop_pct": 0.9},
        resize=_poolformer,
    ),
    "Qwen2VL": _ImageProcessor(
        {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280},
        *_CLIP,
        extra={"patch_size": 14, "merge_size": 2},
        resize=_qwen2vl,
    ),
    "Siglip": _ImageProcessor(_SQUARE, _HALF, _HALF, square=False),
    "ViT": _ImageProcessor(_SQUARE, _HALF, _HALF, resample="bilinear"),
}
"""By the name of the image processor without its ending: ``CLIP`` of ``CLIPImageProcessor``."""

_ENDINGS = ("ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor")


def parse_preprocessing(config: Config) -> Preprocessing:
    """What a checkpoint's ``preprocessor_config.json`` (or ``processor_config.json``, or a timm checkpoint's
    ``config.json``) asks for.

    Raises CheckpointUnsupported for a kind that has no row, and for values that fix no size.
    """
    config = config.get("image_processor", config)
    try:
        if "pretrained_cfg" in config:
            return _timm(config["pretrained_cfg"])
        return _transformers(config)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise _unsupported("invalid values", first) from error


def _transformers(config: Config) -> Preprocessing:
    row = _image_processor(config)
    declared = {name: value for name, value in config.items() if value is not None}
    settings = {
        "crop_size": row.crop,
        "do_center_crop": row.crops_by_default,
        **(row.extra or {}),
        **declared,
    }
    if settings.get("do_flip_channel_order") or settings.get("pad_size"):
        raise _unsupported("channels in another order, or padding", dict(config))
    resized = _Resized("none", None, None)
    if settings.get("do_resize", True):
        size = _named_edges(settings.get("size", row.size), row.square)
        resized = (row.resize or _plain_resize)(size, settings)
    mean, std = _colour(settings.get("image_mean", row.mean)), _nonzero(settings.get("image_std", row.std))
    if not settings.get("do_normalize", True):
        mean, divisor = _NONE
    else:
        divisor = std
    if settings.get("include_top"):  # EfficientNet as its authors trained it: divided once more
        divisor = _product(divisor, std)
    rescaled = settings.get("do_rescale", True)
    scale, *_ = _nonzero(settings.get("rescale_factor", 1 / 255))
    return Preprocessing(
        _transform(resized, _crop(settings), _filter(settings.get("resample", row.resample))),
        scale=scale if rescaled else 1.0,
        offset=-1.0 if rescaled and settings.get("rescale_offset") else 0.0,
        mean=mean,
        std=divisor,
    )


def _timm(config: Config) -> Preprocessing:
    """As timm's ``resolve_data_config`` and ``transforms_imagenet_eval`` read it (timm 1.0)."""
    channels, height, width = config.get("input_size") or (3, 224, 224)
    mode = config.get("crop_mode") or "center"
    across, down = (math.floor(edge / (config.get("crop_pct") or 0.875)) for edge in (width, height))
    if channels != 3 or mode not in ("center", "squash") or across != down:
        raise _unsupported("a crop that nestvec does not know", f"{mode}, {channels}×{height}×{width}")
    transform = ImageTransform(
        height=height,
        width=width,
        resize="shortest" if mode == "center" else "exact",
        edge=across,
        crop="round",
        resample=config.get("interpolation") or "bicubic",
    )
    mean, std = _colour(config.get("mean") or _IMAGENET[0]), _nonzero(config.get("std") or _IMAGENET[1])
    return Preprocessing(transform, 1 / 255, 0.0, mean, std)


def _image_processor(config: Config) -> _ImageProcessor:
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "none named")
    name = next((kind.removesuffix(ending) for ending in _ENDINGS if kind.endswith(ending)), kind)
    if name in IMAGE_PROCESSORS:
        return IMAGE_PROCESSORS[name]
    names = ", ".join(f"{processor}ImageProcessor" for processor in IMAGE_PROCESSORS)
    raise CheckpointUnsupported(
        "the checkpoint prepares images in a way that nestvec does not know",
        value=kind,
        next_step=f"Choose a checkpoint with one of {names}.{nearest(name, IMAGE_PROCESSORS)}",
    )


def _named_edges(size: Any, square: bool) -> Config:
    if isinstance(size, Mapping):
        return size
    if isinstance(size, list | tuple):
        return dict(zip(("height", "width"), size, strict=True))
    return {"height": size, "width": size} if square else {"shortest_edge": size}


def _crop(settings: Config) -> tuple[int, int] | None:
    if not settings["do_center_crop"]:
        return None
    size = _named_edges(settings["crop_size"], square=True)
    return size["height"], size["width"]


def _transform(resized: _Resized, crop: tuple[int, int] | None, resample: str) -> ImageTransform:
    if resized.cropped is not None and crop not in (None, resized.cropped):
        raise _unsupported("two crops of different sizes", [*resized.cropped, *(crop or ())])
    crop = crop or resized.cropped
    if crop in (None, resized.size):
        if resized.size is None:
            raise _unsupported("images of every shape: neither a fixed size nor a crop", resized.resize)
        height, width = resized.size
        return ImageTransform(height=height, width=width, resize="exact", resample=resample)
    if resized.resize == "exact" and resized.edge is None:
        raise _unsupported("a crop from a size that is not square", list(resized.size or ()))
    height, width = crop
    return ImageTransform(
        height=height,
        width=width,
        resize=resized.resize,
        edge=resized.edge,
        crop="floor",
        resample=resample,
    )


def _filter(resample: Any) -> str:
    return resample if isinstance(resample, str) else Image.Resampling(resample).name.lower()


def _colour(value: Any) -> Colour:
    red, green, blue = (
        float(channel) for channel in (value if isinstance(value, list | tuple) else (value,) * 3)
    )
    if not all(math.isfinite(channel) for channel in (red, green, blue)):
        raise ValueError(f"{value} is no colour")
    return red, green, blue


def _nonzero(value: Any) -> Colour:
    colour = _colour(value)
    if not all(colour):
        raise ValueError(f"{value} has a zero")
    return colour


def _product(left: Colour, right: Colour) -> Colour:
    return left[0] * right[0], left[1] * right[1], left[2] * right[2]


def _unsupported(what: str, value: object) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"the checkpoint's preprocessing of images has {what}",
        value=value,
        next_step="Correct its preprocessor_config.json, or choose another checkpoint.",
    )
