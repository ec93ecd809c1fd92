"""``config_sentence_transformers.json``: versions, prompts and defaults of a whole model."""

from __future__ import annotations

from typing import Any, Final

from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.rules.rule import (
    RECORD,
    Rule,
    Rules,
    either,
    honoured,
    irrelevant,
    limited,
    table,
)

FILE: Final = "config_sentence_transformers.json"

_PYLATE: Final = (
    "query_prefix",
    "document_prefix",
    "query_length",
    "document_length",
    "attend_to_expansion_tokens",
    "skiplist_words",
    "do_query_expansion",
)
_SIMILARITIES: Final = ("cosine", "dot", "euclidean", "manhattan", "maxsim", "MaxSim")


def sentence_transformers_rules(context: InventoryContext) -> Rules:
    """The rules for a checkpoint."""
    reads_markers = context.kind in ("late", "ready")
    return {
        **table(irrelevant(RECORD), "__version__", "requirements"),
        "model_type": honoured("the kind of the checkpoint"),
        "prompts": honoured("prompts of the encoder"),
        "default_prompt_name": honoured("prompts of the encoder"),
        "similarity_fn_name": limited(
            irrelevant("compares vectors, and changes none"),
            lambda value: value is None or value in _SIMILARITIES,
            "no such similarity is known",
        ),
        "truncate_dim": _truncation(context),
        "max_active_dims": either(
            context.kind == "sparse",
            honoured("the number of largest weights that are kept"),
            "only a sparse encoder's vectors have weights to keep",
        ),
        "activation_fn": either(
            context.kind in ("cross", "ready"),
            honoured("the activation of the score"),
            "only a cross-encoder's score has an activation",
        ),
        "keep_in_fp32_modules": irrelevant("fp16 exports are compared with the checkpoint's own vectors"),
        **{
            key: either(
                reads_markers,
                honoured("lengths and markers of queries and documents"),
                "only late interaction has it",
            )
            for key in _PYLATE
        },
    }


def _truncation(context: InventoryContext) -> Rule:
    dims = context.options.dims or ()

    def offered(value: Any) -> bool:
        return value in dims

    return limited(
        honoured("a length that the encoder offers by --dims"),
        offered,
        "vectors keep all their dims unless a request asks for fewer; --dims with this number offers it",
    )
