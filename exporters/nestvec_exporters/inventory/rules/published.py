"""Keys of configurations that checkpoints were published with for code of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nestvec_exporters.checkpoints.native.published_configs import (
    NOMIC_FIXED,
    NOMIC_NAMES,
    is_published_nomic,
)
from nestvec_exporters.inventory.rules.rule import (
    PRECISION,
    SPEED,
    TRAINING,
    Rule,
    honoured,
    irrelevant,
    limited,
    table,
)

_RENAMED: Final = honoured("transformers' setting of another name")
_SAME: Final = irrelevant("transformers' NomicBertModel computes the same")
_OTHER: Final = "transformers' NomicBertModel does not compute this"
_UNREAD: Final = "the published code does not read it"

_NOMIC: Final[Mapping[str, Rule]] = {
    **table(_RENAMED, *NOMIC_NAMES, "n_inner", "pad_vocab_size_multiple", "rotary_emb_base"),
    **{key: limited(_SAME, values.__contains__, _OTHER) for key, values in NOMIC_FIXED.items()},
    **table(irrelevant(TRAINING), "attn_pdrop", "embd_pdrop", "resid_pdrop", "use_xentropy"),
    **table(irrelevant(TRAINING), "max_trained_positions", "ffn_div", "expert_choice_router"),
    **table(irrelevant(SPEED), "fused_bias_fc", "fused_dropout_add_ln", "use_flash_attn", "use_cache"),
    **table(irrelevant(PRECISION), "reorder_and_upcast_attn"),
    **table(
        irrelevant(_UNREAD),
        "dense_seq_output",
        "last_layer_subset",
        "parallel_block",
        "parallel_block_tied_norm",
        "scale_attn_by_inverse_layer_idx",
        "scale_attn_weights",
        "moe_normalize_expert_weights",
        "moe_resid_pdrop",
        "moe_top_k",
        "num_shared_experts",
    ),
}
"""Of nomic-ai/nomic-bert-2048, which nomic-embed-text-v1.5 names. Routing matters with experts alone."""


def published_rules(config: Mapping[str, Any]) -> Mapping[str, Rule]:
    """The rules of a ``config.json``'s own names; empty where it has transformers' names."""
    return _NOMIC if is_published_nomic(config) else {}
