"""Configurations as checkpoints were published for code of their own, in the names of transformers' class.

transformers reads none of these names: it would take its defaults instead, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_schemas.errors import CheckpointUnsupported

NOMIC_NAMES: Final[Mapping[str, str]] = {
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
    "n_positions": "max_position_embeddings",
    "layer_norm_epsilon": "layer_norm_eps",
}
"""Keys of nomic-ai/nomic-bert-2048's configuration, with transformers' names for them."""

NOMIC_FIXED: Final[Mapping[str, tuple[Any, ...]]] = {
    "activation_function": ("swiglu",),
    "causal": (False, None),
    "mlp_fc1_bias": (False,),
    "mlp_fc2_bias": (False,),
    "moe_every_n_layers": (0, None),
    "norm_mlp": (False, None),
    "num_experts": (0, None),
    "prenorm": (False,),
    "qkv_proj_bias": (False,),
    "rotary_emb_fraction": (1, 1.0),
    "rotary_emb_interleaved": (False, None),
    "rotary_emb_scale_base": (None,),
    "rotary_scaling_factor": (None, 0),
    "use_rms_norm": (False, None),
}
"""Keys by which that code computes something else, with the values that transformers' class computes."""

_WIDTH_MULTIPLE: Final = 256
"""That code rounds the width of its feed-forward layers up to a multiple of this."""


def published_settings(folder: Path) -> dict[str, Any]:
    """Settings of transformers' configuration for a checkpoint that was published for its own code; empty for
    any other. Raises CheckpointUnsupported where transformers' class does not compute what that code does."""
    config = CheckpointFiles(folder).transformer
    return _nomic_settings(config) if is_published_nomic(config) else {}


def is_published_nomic(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is nomic-embed's own."""
    return config.get("model_type") == "nomic_bert" and "n_embd" in config


def _nomic_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    for key, values in NOMIC_FIXED.items():
        if key in config and config[key] not in values:
            raise CheckpointUnsupported(
                f"transformers' NomicBertModel does not compute what config.json declares by {key}",
                value=config[key],
                next_step="Choose a checkpoint like nomic-ai/nomic-embed-text-v1.5, or export it with "
                "--trust-remote-code.",
            )
    settings = {new: config[old] for old, new in NOMIC_NAMES.items() if config.get(old) is not None}
    inner = config.get("n_inner") or 4 * config["n_embd"]
    multiple = int(config.get("pad_vocab_size_multiple") or 1)
    return settings | {
        "head_dim": config["n_embd"] // config["n_head"],
        "hidden_act": "silu",
        "intermediate_size": -(-inner // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": float(config.get("rotary_emb_base", 1e4)),
        },
        "vocab_size": -(-config["vocab_size"] // multiple) * multiple,
    }
