"""A late-interaction checkpoint's settings of queries and documents.

colbert-ir's ColBERT writes ``artifact.metadata``; PyLate writes to sentence-transformers' configuration.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tokenizers import Tokenizer

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.options import Overrides
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.late_interaction import Interaction

COLBERT_CONFIG: Final = "artifact.metadata"
PYLATE_CONFIG: Final = "config_sentence_transformers.json"

_PUNCTUATION: Final = tuple(string.punctuation)
_QUERY_TOKENS, _DOCUMENT_TOKENS = 32, 180


@dataclass(frozen=True)
class Markers:
    """How queries and documents are marked and truncated."""

    query: str
    """Precedes queries."""

    document: str
    """Precedes documents."""

    query_tokens: int = _QUERY_TOKENS
    document_tokens: int = _DOCUMENT_TOKENS

    expand: bool = True
    """Whether queries are padded with mask tokens."""

    attend: bool = False
    """Whether these are attended to."""

    skip: Sequence[str] = _PUNCTUATION
    """Words whose vectors documents omit."""


def read_markers(files: CheckpointFiles, overrides: Overrides) -> Markers | None:
    """The checkpoint's markers; None if neither it nor ``overrides`` has any.

    Prompts of ``overrides`` replace the checkpoint's. Raises CheckpointUnsupported.
    """
    config = files.json(PYLATE_CONFIG)
    if files.has(COLBERT_CONFIG):
        markers = _colbert(files.json(COLBERT_CONFIG))
    elif "query_prefix" in config or "document_prefix" in config:
        markers = _pylate(config)
    elif overrides.query_prompt and overrides.document_prompt:
        markers = Markers(overrides.query_prompt, overrides.document_prompt)
    else:
        return None
    return replace(
        markers,
        query=overrides.query_prompt or markers.query,
        document=overrides.document_prompt or markers.document,
    )


def _colbert(settings: dict[str, Any]) -> Markers:
    """colbert-ir's settings (ColBERTConfig)."""
    if settings.get("similarity", "cosine") != "cosine":
        raise CheckpointUnsupported(
            "the checkpoint compares token vectors by another metric than cosine",
            value=settings["similarity"],
            next_step="Choose one with cosine similarity.",
        )
    return Markers(
        query=_text(settings, "query_token_id", "[unused0]"),
        document=_text(settings, "doc_token_id", "[unused1]"),
        query_tokens=int(settings.get("query_maxlen") or _QUERY_TOKENS),
        document_tokens=int(settings.get("doc_maxlen") or _DOCUMENT_TOKENS),
        attend=bool(settings.get("attend_to_mask_tokens", False)),
        skip=_PUNCTUATION if settings.get("mask_punctuation", True) else (),
    )


def _pylate(settings: dict[str, Any]) -> Markers:
    words = settings.get("skiplist_words")
    return Markers(
        query=_text(settings, "query_prefix", "[Q] "),
        document=_text(settings, "document_prefix", "[D] "),
        query_tokens=int(settings.get("query_length") or _QUERY_TOKENS),
        document_tokens=int(settings.get("document_length") or _DOCUMENT_TOKENS),
        expand=settings.get("do_query_expansion") is not False,
        attend=bool(settings.get("attend_to_expansion_tokens", False)),
        skip=_PUNCTUATION if words is None else tuple(map(str, words)),
    )


def _text(settings: dict[str, Any], name: str, default: str) -> str:
    value = settings.get(name)
    return default if value is None else str(value)


def interaction_of(
    markers: Markers, tokenizer: Tokenizer, mask: int | None, max_tokens: int
) -> Interaction | None:
    """The markers as ids; None if queries and documents have no markers.

    The markers become special tokens of ``tokenizer``, so that they can be written as text. ``mask`` is the
    id that queries are padded with. Raises CheckpointUnsupported unless each marker is one known token.
    """
    if not markers.query and not markers.document:
        return None
    size = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([token for token in (markers.query, markers.document) if token])
    query, document = (_marker(tokenizer, token, size) for token in (markers.query, markers.document))
    ids = (tokenizer.token_to_id(word) for word in markers.skip)
    return Interaction(
        query_marker=query,
        document_marker=document,
        query_tokens=min(markers.query_tokens, max_tokens),
        mask=mask if markers.expand else None,
        attend=markers.attend,
        skip=tuple(sorted({token for token in ids if token is not None})),
    )


def _marker(tokenizer: Tokenizer, marker: str, size: int) -> int:
    token_id = tokenizer.token_to_id(marker) if marker else None
    second = tokenizer.encode(f"{marker}a").ids[1:2]
    if token_id is None or token_id >= size or second != [token_id]:
        raise CheckpointUnsupported(
            "the marker of a query or a document is not one token of the checkpoint's vocabulary",
            value=marker or "no marker",
            next_step="Give tokens that it has: --query-prompt '[unused0]' --document-prompt '[unused1]'.",
        )
    return token_id
