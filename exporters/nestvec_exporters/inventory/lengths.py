"""Declared lengths of texts that are longer than the encoder takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from nestvec_exporters.checkpoints.max_length import DEFAULT_MAX_TOKENS, UNLIMITED, UNSTATED_MAX_TOKENS
from nestvec_exporters.inventory.declaration import Declaration
from nestvec_exporters.options import ExportOptions
from nestvec_schemas.towers import Tower

TRUNCATED: Final = "texts are truncated to"
"""Begins the reason of a declared length that is not reached."""

_KEYS: Final = ("max_seq_length", "model_max_length", "max_length", "document_length", "doc_maxlen")


def with_truncation(
    declarations: Iterable[Declaration], towers: Mapping[Any, Tower], options: ExportOptions
) -> list[Declaration]:
    """The declarations, with declared lengths above the encoder's saying so.

    Only the length that decides counts: ``max_seq_length`` replaces the tokenizer's. A length that
    ``--max-tokens`` asks for is no surprise, and is left out.
    """
    declarations = list(declarations)
    text = towers.get("text")
    if text is None or text.scheme != "tokenizer" or options.max_tokens is not None:
        return declarations
    deciding = next(
        (declaration for key in _KEYS for declaration in declarations if _is_length(declaration, key)), None
    )
    if deciding is None:
        return [_without_limit(declaration, declarations, text) for declaration in declarations]
    if deciding.value <= text.max_tokens:
        return declarations
    default = text.max_tokens == DEFAULT_MAX_TOKENS
    why = "more needs --max-tokens" if default else "max_position_embeddings has no more"
    reason = f"{TRUNCATED} {text.max_tokens} of {deciding.value} tokens: {why}"
    return [
        replace(declaration, reason=reason) if declaration is deciding else declaration
        for declaration in declarations
    ]


def _without_limit(declaration: Declaration, others: list[Declaration], text: Tower) -> Declaration:
    """A tokenizer's lack of a limit, where no positions limit texts either, as what the encoder takes."""
    unlimited = declaration.key == "model_max_length" and isinstance(declaration.value, int)
    positions = any(other.key.endswith("max_position_embeddings") for other in others)
    if not unlimited or positions or text.max_tokens != UNSTATED_MAX_TOKENS:
        return declaration
    reason = f"{TRUNCATED} {text.max_tokens} tokens: no limit is declared, and more needs --max-tokens"
    return replace(declaration, reason=reason)


def _is_length(declaration: Declaration, key: str) -> bool:
    return (
        declaration.outcome == "honoured"
        and declaration.key == key
        and isinstance(declaration.value, int)
        and declaration.value < UNLIMITED
    )
