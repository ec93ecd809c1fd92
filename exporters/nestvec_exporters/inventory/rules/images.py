"""``preprocessor_config.json`` and ``processor_config.json``: from an image's file to pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nestvec_exporters.inventory.declaration import Declaration
from nestvec_exporters.inventory.rules.rule import (
    RECORD,
    SPEED,
    Rules,
    honoured,
    irrelevant,
    judge_object,
    refused,
    table,
)

_BY: Final = "the preprocessing of images, compared with transformers' own"
_NESTED: Final = "image_processor"

IMAGE_RULES: Final[Rules] = {
    **table(
        honoured(_BY),
        "image_processor_type",
        "feature_extractor_type",
        "do_resize",
        "size",
        "resample",
        "do_center_crop",
        "crop_size",
        "crop_pct",
        "do_normalize",
        "image_mean",
        "image_std",
        "do_rescale",
        "rescale_factor",
        "rescale_offset",
        "do_convert_rgb",
        "do_flip_channel_order",
        "do_pad",
        "pad_size",
        "min_pixels",
        "max_pixels",
        "patch_size",
        "temporal_patch_size",
        "merge_size",
        "max_num_patches",
        "include_top",
        "default_to_square",
        "size_divisor",
    ),
    **table(irrelevant(RECORD), "processor_class", "_valid_processor_keys", "tokenizer_class", "auto_map"),
    **table(irrelevant(SPEED), "use_fast", "device", "disable_grouping", "backend"),
    **table(
        irrelevant("each call sets it"),
        "data_format",
        "input_data_format",
        "return_tensors",
        "cast_dtype",
    ),
    **table(irrelevant("labels of pixels"), "do_reduce_labels", "reduce_labels", "ignore_index"),
    "image_seq_length": irrelevant("counted from the size of the image"),
    **table(
        refused("nestvec's preprocessing does not do this"),
        "do_align_long_axis",
        "do_thumbnail",
        "do_rotate",
        "do_image_splitting",
        "do_pan_and_scan",
        "do_sharpen",
        "do_grayscale",
    ),
}
"""Keys of a processor of images."""

_PROCESSOR_RULES: Final[Rules] = {
    **table(irrelevant(RECORD), "processor_class", "auto_map"),
    **table(honoured("the layout of messages"), "chat_template", "image_token", "video_token"),
    **table(
        honoured("how many tokens an image has"),
        "patch_size",
        "num_additional_image_tokens",
        "vision_feature_select_strategy",
        "image_seq_length",
        "image_seq_len",
    ),
    **table(irrelevant("videos are not read"), "video_processor", "feature_extractor", "audio_processor"),
    "tokenizer": irrelevant("tokenizer_config.json is read"),
}
"""Keys of a processor of images and texts."""


def image_declarations(file: str, content: Mapping[str, Any]) -> list[Declaration]:
    """The declarations of a processor's configuration, of images alone or with one inside."""
    nested = content.get(_NESTED)
    if not isinstance(nested, dict):
        combined = {**_PROCESSOR_RULES, **IMAGE_RULES}
        return judge_object(file, content, combined)
    rest = {key: value for key, value in content.items() if key != _NESTED}
    inner = {f"{_NESTED}.{key}": rule for key, rule in IMAGE_RULES.items()}
    return judge_object(file, {**rest, _NESTED: nested}, {**_PROCESSOR_RULES, **inner})
