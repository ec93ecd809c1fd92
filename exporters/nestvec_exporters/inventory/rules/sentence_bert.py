"""``sentence_bert_config.json``: what sentence-transformers' Transformer module is built with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nestvec_exporters.checkpoints.kinds import READY
from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.rules.dual import dual_settings_rules
from nestvec_exporters.inventory.rules.rule import (
    PRECISION,
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

_TASKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "sparse": ("fill-mask", "logits", "token_embeddings"),
}
"""By kind: the task, the output of the transformers model, and what the module calls it."""

_DEFAULT_TASK: Final = ("feature-extraction", "last_hidden_state", "token_embeddings")
_CLASSIFIER: Final = ("sequence-classification", "logits", "scores")
_LANGUAGE_MODEL: Final = ("text-generation", "logits", "causal_logits")

_TEXT: Final = frozenset({"text"})
_READ: Final[Mapping[str, frozenset[str]]] = {
    # A query and a document are messages, whose chat template is reproduced.
    "cross": frozenset({"text", "message"}),
    # Videos are declared by models that read them too; a request has none.
    "vlm": frozenset({"text", "image", "message", "video"}),
}
"""By kind, the modalities that an export reads where it is not texts alone."""

_HARMLESS_ARGUMENTS: Final[Rules] = {
    **table(irrelevant(PRECISION), "torch_dtype", "dtype"),
    **table(irrelevant(SPEED), "attn_implementation", "device_map", "low_cpu_mem_usage", "use_fast"),
    "use_safetensors": irrelevant("weights are read from safetensors alone"),
    "trust_remote_code": irrelevant("sentence-transformers drops it from the file"),
}
_ARGUMENTS: Final = (
    "model_args",
    "model_kwargs",
    "tokenizer_args",
    "processor_kwargs",
    "config_args",
    "config_kwargs",
)


def sentence_bert_rules(context: InventoryContext, arguments: Mapping[str, Any]) -> Rules:
    """The rules for a checkpoint; ``arguments`` is the file's content, whose nested arguments are ruled."""
    if context.kind == "dual":
        return dual_settings_rules()
    task, output, name = _task(context)
    library = context.library_loads
    by_library = "sentence-transformers loads the module with it"
    rules = {
        "max_seq_length": _length_rule(context),
        "do_lower_case": either(
            library or context.kind == READY,
            honoured("sentence-transformers puts it into the tokenizer that is exported"),
            "texts are not put into lower case for this kind of checkpoint",
        ),
        "transformer_task": limited(
            honoured(by_library), lambda value: value == task, f"this kind of checkpoint does {task}"
        ),
        "module_output_name": limited(
            honoured(by_library),
            lambda value: value == name,
            f"the exported graph reads {name}",
        ),
        "modality_config": limited(
            honoured(by_library),
            lambda value: _is_plain_text(value, output, _READ.get(context.kind, _TEXT)),
            f"texts are read by forward, as {output}; no chat template is applied and no other output read",
        ),
        "processing_kwargs": limited(
            honoured("the chat template is rendered with it"),
            lambda value: _renders(value, context.kind),
            "the exported tokenizer does not apply them",
        ),
        "unpad_inputs": irrelevant(SPEED),
        "tokenizer_name_or_path": refused("the tokenizer is read from the checkpoint's own folder"),
        **table(
            either(
                context.late,
                honoured("lengths and expansion of queries and documents"),
                "only late interaction distinguishes queries from documents by length",
            ),
            "query_length",
            "document_length",
            "query_expansion",
        ),
    }
    for place in _ARGUMENTS:
        passed = arguments.get(place)
        if isinstance(passed, dict):
            for key in passed:
                rule = either(library, honoured(by_library), "this argument of the library is not passed on")
                rules[f"{place}.{key}"] = _HARMLESS_ARGUMENTS.get(key, rule)
        else:
            rules[place] = refused("this is not an object")
    return rules


def _length_rule(context: InventoryContext) -> Rule:
    by = "the longest text of the encoder"
    if context.late:
        by = "the longest text, unless queries or documents have lengths of their own"
    return limited(
        honoured(by), lambda value: value is None or _is_count(value), "this is no number of tokens"
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _task(context: InventoryContext) -> tuple[str, str, str]:
    """The task, the output of the transformers model, and what the module calls it."""
    if context.kind == "cross" and "Pooling" not in context.files.modules:
        return _LANGUAGE_MODEL if "LogitScore" in context.files.modules else _CLASSIFIER
    if "SparseAutoEncoder" in context.files.modules:
        return _DEFAULT_TASK
    return _TASKS.get(context.kind, _DEFAULT_TASK)


def _is_plain_text(value: Any, output: str, read: frozenset[str]) -> bool:
    """Whether a modality configuration reads texts, and others that the export reads, by forward."""
    if not isinstance(value, dict) or "text" not in value:
        return False
    if not all(set(str(modality).split("+")) <= read for modality in value):
        return False
    return all(_is_forward(entry, output) for entry in value.values())


def _renders(value: Any, kind: str) -> bool:
    """Whether arguments of a processor are only those that render a chat template, for a kind that does."""
    if kind not in ("cross", "vlm") or not isinstance(value, dict) or not set(value) <= {"chat_template"}:
        return False
    return kind == "cross" or set(value.get("chat_template", ())) <= {"add_generation_prompt"}


def _is_forward(entry: Any, output: str) -> bool:
    if not isinstance(entry, dict):
        return False
    entry = {name: setting for name, setting in entry.items() if name != "format"}
    method_output = entry.pop("method_output_name", None)
    method_output = method_output[0] if isinstance(method_output, list) and method_output else method_output
    return bool(entry == {"method": "forward"} and method_output == output)
