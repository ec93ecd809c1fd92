"""``tokenizer_config.json`` and the files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nestvec_exporters.checkpoints.kinds import CUSTOM, M3, SENTENCE
from nestvec_exporters.checkpoints.untrusted.custom_code import unexplained_classes
from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.rules.rule import (
    RECORD,
    ROW_PADDING,
    SPEED,
    Rule,
    Rules,
    either,
    honoured,
    irrelevant,
    limited,
    refused,
    table,
)
from nestvec_exporters.inventory.tokenizer_file import lowers_case

FILE: Final = "tokenizer_config.json"
TOKENIZER_JSON: Final = "tokenizer.json"
TEMPLATE: Final = "chat_template.jinja"

WHOLE_FILES: Final = (
    TOKENIZER_JSON,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "dict.txt",
    "emoji.json",
    "source.spm",
    "target.spm",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "unigram.json",
    "sentencepiece.model",
)
"""Files that make the tokenizer, each honoured as a whole."""

_ROW_SIDES: Final = ("right", "left")
_BY_TOKENIZER: Final = "the exported tokenizer"

_WRITTEN: Final = (
    "add_bos_token",
    "add_eos_token",
    "add_dummy_prefix",
    "add_prefix_space",
    "added_tokens_decoder",
    "additional_special_tokens",
    "all_special_tokens",
    "do_lower_case",
    "do_lowercase",
    "do_lower",
    "strip_accents",
    "keep_accents",
    "remove_space",
    "tokenize_chinese_chars",
    "do_basic_tokenize",
    "do_word_tokenize",
    "do_subword_tokenize",
    "word_tokenizer_type",
    "subword_tokenizer_type",
    "handle_chinese_chars",
    "normalization",
    "model_specific_special_tokens",
    "extra_special_tokens",
    "extra_ids",
    "legacy",
    "legacy_behaviour",
    "language_codes",
    "src_lang",
    "tgt_lang",
    "sep",
    "split_by_punct",
    "vocab_type",
    "wordpieces_prefix",
    "tokenizer_class",
    "spaces_between_special_tokens",
    "trim_offsets",
    "cls_token_box",
    "use_regex",
    "bpe_type",
    "separate_vocabs",
    "offset",
    "mask_token_sent",
)

_RULES: Final[Rules] = {
    **table(honoured(_BY_TOKENIZER), *_WRITTEN),
    **table(
        irrelevant(RECORD),
        "name_or_path",
        "special_tokens_map_file",
        "tokenizer_file",
        "vocab_file",
        "merges_file",
        "full_tokenizer_file",
        "processor_class",
        "feature_extractor_type",
        "backend",
        "is_local",
        "local_files_only",
        "from_slow",
        "model_type",
        "add_from",
        "device_map",
        "tokenizer_type",
        "transformers_version",
        "unsloth_version",
    ),
    **table(irrelevant(SPEED), "use_fast"),
    **table(
        irrelevant("applies to decoding"),
        "clean_up_tokenization_spaces",
        "errors",
        "decode_with_prefix_space",
    ),
    **table(
        irrelevant("each call sets it"),
        "max_length",
        "stride",
        "truncation",
        "truncation_strategy",
        "padding",
        "return_tensors",
        "add_special_tokens",
        "is_split_into_words",
    ),
    **table(irrelevant(ROW_PADDING), "pad_to_multiple_of", "pad_token_type_id", "pad_token_id"),
    "padding_side": limited(
        irrelevant(ROW_PADDING), lambda value: value in _ROW_SIDES, "rows are padded on the right or the left"
    ),
    "model_max_length": honoured("the longest text of the encoder"),
    "model_input_names": honoured("which of ids, mask and token types the model is given"),
    "max_len": honoured("the longest text of the encoder"),
    "max_len_single_sentence": irrelevant("follows from model_max_length"),
    "max_len_sentences_pair": irrelevant("follows from model_max_length"),
    "use_default_system_prompt": irrelevant("written only by a chat template"),
    "response_schema": irrelevant("written only by a chat template"),
    "image_token": irrelevant("named by the processor of images"),
    "split_special_tokens": refused("special tokens in a text are read as such"),
    "never_split": refused("the fast tokenizer does not know it"),
    "sp_model_kwargs": refused("the fast tokenizer does not sample"),
}


def tokenizer_rules(context: InventoryContext, content: Mapping[str, Any], *, with_modules: bool) -> Rules:
    """The rules for a checkpoint's ``tokenizer_config.json``."""
    rules: dict[str, Rule] = dict(_RULES)
    for key, value in content.items():
        if key.endswith(("_token", "_token_id", "_tokens")) and key not in rules:
            rules[key] = (
                honoured(_BY_TOKENIZER) if isinstance(value, str | dict | list | int | None) else refused("")
            )
    by_code = "it declares code of its own, and the class of transformers may read texts otherwise"
    rules["auto_map"] = limited(
        honoured("--trust-remote-code, or a class that does the same"),
        lambda value: (
            context.options.trust_remote_code or not unexplained_classes(context.files.folder, context.kind)
        ),
        by_code,
    )
    rules["truncation_side"] = truncation_rule(context)
    rules["chat_template"] = template_rule(context, with_modules=with_modules)
    if context.kind == "ready":
        rules["do_lower_case"] = either(
            lowers_case(context.folder / TOKENIZER_JSON),
            honoured(_BY_TOKENIZER),
            "its tokenizer.json keeps capitals, and a ready graph is read with that file",
        )
    return rules


_CUTS_ON_EITHER_SIDE: Final = frozenset(
    {SENTENCE, M3, "router", "decoder", "cross", "sparse", "ready", CUSTOM}
)
"""Kinds whose towers tell the service on which side a text is cut."""


def truncation_rule(context: InventoryContext) -> Rule:
    """Which side of a long text is cut off."""
    sides = _ROW_SIDES if context.kind in _CUTS_ON_EITHER_SIDE else ("right",)
    return limited(
        honoured("the side of a long text that is cut off"),
        lambda value: value in sides,
        "this kind of checkpoint cuts texts on the right",
    )


def template_rule(context: InventoryContext, *, with_modules: bool) -> Rule:
    """A chat template, which sentence-transformers applies where nothing says that texts are read plainly."""
    if context.kind == "vlm":
        return honoured("the layout of messages")
    if context.kind == "cross":
        return honoured("what stands around a query and a document, where the checkpoint reads messages")
    if with_modules or context.kind not in (SENTENCE, M3, "decoder"):
        return irrelevant("texts are read plainly, without a chat template")
    return refused(
        "without modules.json, sentence-transformers writes each text as a message with it, and the encoder "
        "would read texts plainly"
    )
