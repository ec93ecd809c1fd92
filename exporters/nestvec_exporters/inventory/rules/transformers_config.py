"""``config.json`` of a transformers model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nestvec_exporters.checkpoints.untrusted.custom_code import unexplained_classes
from nestvec_exporters.inventory.context import WITHOUT_TRANSFORMERS, InventoryContext
from nestvec_exporters.inventory.declaration import Declaration
from nestvec_exporters.inventory.rules.architectures import architecture_rule
from nestvec_exporters.inventory.rules.by_type import BY_TYPE
from nestvec_exporters.inventory.rules.own_formats import own_format_rules
from nestvec_exporters.inventory.rules.published import published_rules
from nestvec_exporters.inventory.rules.rule import (
    GENERATION,
    LABELS,
    PRECISION,
    RECORD,
    SPEED,
    TRAINING,
    Rule,
    Rules,
    honoured,
    irrelevant,
    judge,
    judge_object,
    limited,
    refused,
    table,
)

_HEAD_SETTINGS: Final = "settings of a head that the encoder does not have"

GENERAL: Final[Rules] = {
    **table(
        irrelevant(RECORD),
        "_name_or_path",
        "name_or_path",
        "transformers_version",
        "adapters_version",
        "tokenizer_class",
        "processor_class",
        "finetuning_task",
        "unsloth_version",
        "unsloth_fixed",
        "model_name",
        "_commit_hash",
        "license",
        "__version__",
        "base_model_name_or_path",
        "language",
        "output_past",
    ),
    **table(
        irrelevant(TRAINING),
        "gradient_checkpointing",
        "task_specific_params",
        "layerdrop",
        "encoder_layerdrop",
        "decoder_layerdrop",
        "label_smoothing",
        "use_xentropy",
        "router_aux_loss_coef",
        "router_jitter_noise",
        "tf_legacy_loss",
        "embedding_dropout",
        "mlp_dropout",
        "attention_dropout",
        "classifier_dropout_prob",
        "initializer_factor",
        "initializer_range",
        "initializer_cutoff_factor",
        "loss_type",
        "problem_type",
    ),
    **table(irrelevant(PRECISION), "torch_dtype", "dtype", "use_bfloat16", "fp16", "bf16"),
    **table(
        irrelevant(SPEED),
        "use_cache",
        "use_flash_attn",
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_autoset",
        "attn_implementation_internal",
        "use_memory_efficient_attention",
        "unpad_inputs",
        "reference_compile",
        "torchscript",
        "deterministic_flash_attn",
        "repad_logits_with_grad",
        "pad_vocab_size_multiple",
        "cache_implementation",
    ),
    **table(
        irrelevant("selects outputs that are not read"),
        "return_dict",
        "output_attentions",
        "output_hidden_states",
        "return_dict_in_generate",
        "output_scores",
        "output_router_logits",
        "num_logits_to_keep",
    ),
    **table(
        irrelevant(GENERATION),
        "do_sample",
        "early_stopping",
        "max_length",
        "max_new_tokens",
        "min_length",
        "num_beams",
        "num_beam_groups",
        "num_return_sequences",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
        "repetition_penalty",
        "length_penalty",
        "diversity_penalty",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "bad_words_ids",
        "suppress_tokens",
        "begin_suppress_tokens",
        "bos_token_id",
        "eos_token_id",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "force_bos_token_to_be_generated",
        "remove_invalid_values",
        "exponential_decay_length_penalty",
        "add_bos_token",
        "add_eos_token",
        "add_final_layer_norm",
        "decoder_start_token_id",
        "prefix",
        "sep_token_id",
        "extra_pos_embeddings",
    ),
    **table(
        irrelevant("Google's record of BERT's pooler, which transformers does not read"),
        "directionality",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
    ),
    **table(
        irrelevant(_HEAD_SETTINGS),
        "summary_activation",
        "summary_first_dropout",
        "summary_last_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "classifier_activation",
        "classifier_bias",
        "classifier_pooling",
        "sparse_prediction",
        "sparse_pred_ignore_index",
        "tie_weights_",
        "tie_word_embeddings",
        "tie_encoder_decoder",
        "num_choices",
    ),
    "position_embedding_type": limited(
        irrelevant("the default, and the only one that transformers 5 has for this architecture"),
        lambda value: value == "absolute",
        "the installed transformers has absolute positions for this architecture, and would ignore it",
    ),
    "pretraining_tp": limited(
        irrelevant(TRAINING), lambda value: value == 1, "layers split for training are not read"
    ),
    "pruned_heads": refused("the installed transformers does not prune heads"),
    **table(
        refused("its weights are quantised, and only weights in full precision are exported"),
        "quantization_config",
        "compression_config",
        "quantization",
    ),
}
"""Keys of any architecture that change no vector, or only with the named values."""

_CROSS_KEYS: Final = ("sbert_ce_default_activation_function",)


def transformers_config(
    file: str, content: Mapping[str, Any], context: InventoryContext, *, with_modules: bool
) -> list[Declaration]:
    """The declarations of a ``config.json``; ``with_modules``: ``modules.json`` says what follows it."""
    if context.kind == "ready":
        return [_in_graph(file, key, value, context) for key, value in content.items()]
    model_type = content.get("model_type")
    rules: dict[str, Rule] = dict(GENERAL)
    owner: Any = None
    if context.kind not in WITHOUT_TRANSFORMERS and isinstance(model_type, str):
        from nestvec_exporters.inventory.config_class import config_class  # noqa: PLC0415 - transformers

        owner = config_class(model_type)
    if owner is None:
        own = own_format_rules(context.kind, content)
        return [] if own is None else judge_object(file, content, own)
    rules |= _specific(content, context, with_modules=with_modules)
    rules |= published_rules(content)
    declarations: list[Declaration] = []
    for key, value in content.items():
        declarations += _judged(file, key, value, owner, rules)
    return declarations


def _specific(
    content: Mapping[str, Any], context: InventoryContext, *, with_modules: bool
) -> dict[str, Rule]:
    """Rules that depend on the kind of checkpoint."""
    is_cross = context.has_classifier
    scores = honoured("the head that gives the score")
    rules: dict[str, Rule] = {
        "model_type": honoured("the architecture"),
        "architectures": architecture_rule(context, content, with_modules=with_modules),
        **table(scores if is_cross else irrelevant(LABELS), "id2label", "label2id", "num_labels"),
        "auto_map": limited(
            honoured("--trust-remote-code, a class that does the same, or an unused head"),
            lambda value: (
                context.options.trust_remote_code
                or not unexplained_classes(context.files.folder, context.kind)
            ),
            "it declares code of its own, and transformers' class of this name may compute something else",
        ),
    }
    if context.kind == "decoder":
        rules["latent_attention_config"] = honoured("the trained pooling")
    if context.kind in ("vision", "dual"):
        # Their loaders read it, or refuse it by name.
        rules["frame_pooling"] = honoured("the pooling of frames")
    if content.get("model_type") in ("vision-text-dual-encoder", "nestvec-pooled-dual"):
        # Set where an image encoder's own configuration calls its width otherwise.
        rules["hidden_size"] = honoured("the width that the projection takes")
    rules |= BY_TYPE.get(str(content.get("model_type")), {})
    if is_cross:
        activation = honoured("the activation of the score")
        rules |= table(activation, *_CROSS_KEYS, "sentence_transformers.activation_fn")
        rules["sentence_transformers.version"] = irrelevant(RECORD)
        rules |= table(scores, *(key for key, rule in GENERAL.items() if rule.reason == _HEAD_SETTINGS))
    return rules


def _judged(file: str, key: str, value: Any, owner: Any, rules: Rules, before: str = "") -> list[Declaration]:
    """A key's declaration, or those of the keys of a nested configuration."""
    from nestvec_exporters.inventory.config_class import (  # noqa: PLC0415 - transformers
        appears_in_code,
        attributes,
        sub_config_class,
    )

    name = f"{before}{key}"
    if isinstance(value, dict) and not before:
        nested = sub_config_class(owner, key, value)
        if nested is not None:
            inner = {**rules, "architectures": irrelevant(RECORD)}
            return [
                declaration
                for inner_key, inner_value in value.items()
                for declaration in _judged(file, inner_key, inner_value, nested, inner, f"{key}.")
            ]
        parts = [part for part in rules if part.startswith(f"{key}.")]
        if parts:
            return [judge(file, f"{key}.{part}", inner, rules) for part, inner in value.items()]
    rule = rules.get(key)
    if key in attributes(owner) and (rule is None or key in ("position_embedding_type",)):
        rule = honoured(f"transformers' {owner.__name__}")
    if rule is None and appears_in_code(owner, key):
        rule = honoured(f"transformers reads it for {owner.model_type}")
    return [
        (rule or refused("transformers does not read this key for the architecture")).judge(file, name, value)
    ]


_READ_BY_READY: Final = ("max_position_embeddings", "sbert_ce_default_activation_function")


def _in_graph(file: str, key: str, value: Any, context: InventoryContext) -> Declaration:
    """A key of a checkpoint whose ONNX graph exists: the architecture is in the graph."""
    if key in _READ_BY_READY:
        return honoured("the longest text, or the activation, of the ready graph").judge(file, key, value)
    return irrelevant("the ready graph is the architecture").judge(file, key, value)
