"""Weights in a checkpoint's files that the loaded model does not take."""

from __future__ import annotations

import re
from typing import Final

from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.rules.rule import Rule, honoured, irrelevant, refused

_BUFFER: Final = "a buffer that transformers makes itself"
_LANGUAGE_MODEL: Final = "a head of language modelling, which the encoder does not have"

_ANY_KIND: Final[tuple[tuple[re.Pattern[str], Rule], ...]] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (
            r"(.*\.)?(position_ids|token_type_ids|inv_freq|original_inv_freq|masked_bias|relative_position_index)"
            r"|(.*\.)?attn\.bias|(.*\.)?attention\.bias|(.*\.)?num_batches_tracked",
            irrelevant(_BUFFER),
        ),
        (r"cls\.(predictions|seq_relationship)\..*", irrelevant(_LANGUAGE_MODEL)),
        (r"(.*\.)?lm_head(\..*)?", irrelevant(_LANGUAGE_MODEL)),
        (r"(lm_loss|pred_layer)\..*", irrelevant(_LANGUAGE_MODEL)),
        (r"(lm_predictions|mask_predictions)\..*", irrelevant(_LANGUAGE_MODEL)),
        (r"(generator|discriminator)_(predictions|lm_head)\..*", irrelevant(_LANGUAGE_MODEL)),
        (r"vocab_(transform|layer_norm|projector)\..*", irrelevant(_LANGUAGE_MODEL)),
        (r"(mlm|nsp)(_head)?\..*|predictions\..*|sop_classifier\..*", irrelevant(_LANGUAGE_MODEL)),
        (r"(head\.(dense|norm)|decoder)\.(weight|bias)|final_logits_bias", irrelevant(_LANGUAGE_MODEL)),
        (r"(.*\.)?pooler\..*", irrelevant("a pooler, in whose place the encoder pools token vectors")),
        (r"(.*\.)?mtp\..*|(.*\.)?medusa\..*", irrelevant("predicts several tokens at once")),
    )
)

_BY_KIND: Final[dict[str, tuple[tuple[re.Pattern[str], Rule], ...]]] = {
    kind: tuple((re.compile(pattern), rule) for pattern, rule in rows)
    for kind, rows in {
        "late": ((r"linear\.weight", honoured("the projection of token vectors")),),
        "decoder": ((r"latent_attention_model\..*", honoured("the trained pooling")),),
        "nvembed": (
            (r"latent_attention_model\..*", honoured("the trained pooling")),
            (r"embedding_model\..*", honoured("the transformer")),
        ),
        "encdec": ((r"(model\.)?decoder\..*", irrelevant("the decoder half")),),
        "tokenfree": ((r"decoder\..*", irrelevant("the decoder half")),),
        "sentence": ((r"decoder\..*", irrelevant("the decoder half")),),
        "vision": (
            (
                r"(.*\.)?(classifier|head|fc|cls_classifier|distillation_classifier|decoder|mask_token)"
                r"(\..*)?|classifier_\w+\..*",
                irrelevant("a head behind the image's vector"),
            ),
        ),
        "vlm": ((r"(.*\.)?lm_head\..*", irrelevant(_LANGUAGE_MODEL)),),
    }.items()
}
"""Weights that one kind of checkpoint takes elsewhere, or has no use for."""

_REFUSAL: Final = refused("no part of the model takes this weight")


def weight_rule(name: str, context: InventoryContext) -> Rule:
    """The rule for a weight that the loaded model does not take."""
    # colbert-ir's projection: with modules.json, Dense modules project.
    kind = "" if context.late and context.has_modules else context.kind
    for pattern, rule in (*_BY_KIND.get(kind, ()), *_ANY_KIND):
        if pattern.fullmatch(name):
            return rule
    return _REFUSAL
