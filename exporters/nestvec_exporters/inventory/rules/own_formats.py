"""``config.json`` of formats that transformers has no class for: timm, NV-Embed, PIXEL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nestvec_exporters.inventory.rules.rule import (
    LABELS,
    PRECISION,
    RECORD,
    TRAINING,
    Rules,
    honoured,
    irrelevant,
    table,
)

_LOADER: Final = honoured("the loader of this format")

_TIMM: Final[Rules] = {
    **table(honoured("timm.create_model"), "architecture", "model_args", "global_pool"),
    **table(irrelevant(LABELS), "num_classes", "label_names", "label_descriptions"),
    "num_features": irrelevant("the network's own width is read"),
    **table(
        _LOADER,
        "pretrained_cfg.input_size",
        "pretrained_cfg.interpolation",
        "pretrained_cfg.crop_pct",
        "pretrained_cfg.crop_mode",
        "pretrained_cfg.mean",
        "pretrained_cfg.std",
    ),
    **table(
        irrelevant(RECORD),
        *(
            f"pretrained_cfg.{key}"
            for key in (
                "tag",
                "url",
                "file",
                "hf_hub_id",
                "hf_hub_filename",
                "license",
                "origin_url",
                "paper_name",
                "paper_ids",
                "notes",
                "source",
                "architecture",
                "custom_load",
            )
        ),
    ),
    **table(
        irrelevant("the network's own layers are read"),
        *(
            f"pretrained_cfg.{key}"
            for key in (
                "num_classes",
                "pool_size",
                "first_conv",
                "classifier",
                "fixed_input_size",
                "min_input_size",
                "test_input_size",
                "test_crop_pct",
                "label_names",
                "label_descriptions",
            )
        ),
    ),
}

_GENERAL: Final[Rules] = {
    **table(irrelevant(RECORD), "_name_or_path", "transformers_version", "architectures", "auto_map"),
    **table(irrelevant(PRECISION), "torch_dtype", "dtype"),
    "model_type": honoured("the architecture"),
}

_NV_EMBED: Final[Rules] = {
    **_GENERAL,
    **table(_LOADER, "text_config", "latent_attention_config", "is_mask_instruction", "padding_side"),
    **table(_LOADER, "add_eos", "add_pad_token", "hidden_size"),
    "mask_type": honoured("attention to both sides"),
    "tokenizer_class": irrelevant(RECORD),
}

_PIXEL: Final[Rules] = {
    **_GENERAL,
    **table(irrelevant(TRAINING), "encoder_stride", "pooler_act", "pooler_output_size"),
    **table(
        _LOADER,
        "hidden_act",
        "hidden_size",
        "image_size",
        "intermediate_size",
        "layer_norm_eps",
        "num_attention_heads",
        "num_channels",
        "num_hidden_layers",
        "patch_size",
        "qkv_bias",
        "max_position_embeddings",
    ),
    **table(
        irrelevant(TRAINING),
        "attention_probs_dropout_prob",
        "decoder_hidden_size",
        "decoder_intermediate_size",
        "decoder_num_attention_heads",
        "decoder_num_hidden_layers",
        "hidden_dropout_prob",
        "initializer_range",
        "mask_ratio",
        "norm_pix_loss",
        "text_renderer_type",
    ),
}

_BY_KIND: Final[Mapping[str, Rules]] = {"nvembed": _NV_EMBED, "pixel": _PIXEL}


def own_format_rules(kind: str, content: Mapping[str, Any]) -> Rules | None:
    """The rules of a ``config.json`` that only a loader here reads; None for any other."""
    if "pretrained_cfg" in content:
        return _TIMM
    return _BY_KIND.get(kind)
