"""Keys of published ``config.json`` files that the installed transformers does not read for their type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nestvec_exporters.inventory.rules.rule import (
    RECORD,
    Rules,
    honoured,
    irrelevant,
    limited,
    table,
)

_LAYER_TYPES: Final = irrelevant("layer_types says which layers slide")

BY_TYPE: Final[Mapping[str, Rules]] = {
    "modernbert": {"layer_norm_eps": irrelevant("norm_eps decides")},
    "t5": table(irrelevant("T5 has relative positions, without a limit"), "n_positions"),
    "mt5": table(irrelevant("T5 has relative positions, without a limit"), "n_positions"),
    "gemma3_text": table(_LAYER_TYPES, "_sliding_window_pattern", "sliding_window_pattern"),
    "gpt2": {"n_ctx": irrelevant("a former name of n_positions")},
    "longformer": {
        "attention_mode": limited(
            honoured("the attention of transformers' class"),
            lambda value: value == "longformer",
            "transformers' class has this attention alone",
        ),
        "ignore_attention_mask": irrelevant(RECORD),
    },
    "albert": table(
        irrelevant("Google's record of ALBERT, which transformers does not read"),
        "down_scale_factor",
        "gap_size",
        "layers_to_keep",
        "net_structure_type",
        "num_memory_blocks",
    ),
}
"""By model type."""
