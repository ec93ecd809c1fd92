"""``sentence_bert_config.json`` of a model of images and texts in sentence-transformers' layout."""

from __future__ import annotations

from typing import Any, Final

from nestvec_exporters.inventory.rules.rule import Rules, honoured, limited, refused

_METHODS: Final = {"text": "get_text_features", "image": "get_image_features"}
_OUTPUTS: Final = (None, "pooler_output")
_PADDING: Final = frozenset({"padding", "max_length", "truncation"})
_TRUNCATIONS: Final = (None, True, "longest_first")

_TASK: Final = limited(
    honoured("the two towers"), lambda value: value == "feature-extraction", "the towers give features"
)
_MODULE_OUTPUT: Final = limited(
    honoured("the two towers"), lambda value: value == "sentence_embedding", "the towers give one vector"
)


def dual_settings_rules() -> Rules:
    """The rules of its keys; the other arguments of the library's module are refused."""
    return {
        "max_seq_length": honoured("the longest text of the encoder"),
        "transformer_task": _TASK,
        "module_output_name": _MODULE_OUTPUT,
        "modality_config": limited(
            honoured("the methods of the two towers"),
            _has_both_methods,
            "the towers are get_text_features and get_image_features",
        ),
        "processing_kwargs": limited(
            honoured("texts are padded to one length"),
            _pads_texts,
            "only padding of texts to one length is honoured",
        ),
        "do_lower_case": refused("texts are not put into lower case for this kind of checkpoint"),
    }


def _has_both_methods(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == set(_METHODS)
        and all(
            isinstance(entry, dict)
            and set(entry) <= {"method", "method_output_name"}
            and entry.get("method") == _METHODS[modality]
            and entry.get("method_output_name") in _OUTPUTS
            for modality, entry in value.items()
        )
    )


def _pads_texts(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"text"} or not isinstance(value["text"], dict):
        return False
    text = value["text"]
    return set(text) <= _PADDING and text.get("truncation") in _TRUNCATIONS
