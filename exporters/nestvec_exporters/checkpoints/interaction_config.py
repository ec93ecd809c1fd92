"""What a late-interaction checkpoint says of queries and documents, in the layouts that there are.

colbert-ir's ColBERT writes ``artifact.metadata``; PyLate writes into sentence-transformers' own config.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
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
    """What stands before queries and documents, as text; tokens of each; how queries are filled up; and the
    words whose vectors documents leave out."""

    query: str
    document: str
    query_tokens: int = _QUERY_TOKENS
    document_tokens: int = _DOCUMENT_TOKENS
    expand: bool = True
    attend: bool = False
    skip: Sequence[str] = _PUNCTUATION


def read_markers(small: CheckpointFiles, overrides: Overrides) -> Markers | None:
    """What a checkpoint says; None where it says nothing of late interaction and ``overrides`` does not.

    Prompts of ``overrides`` stand for the checkpoint's. Raises CheckpointUnsupported.
    """
    config = small.json(PYLATE_CONFIG)
    if small.has(COLBERT_CONFIG):
        markers = _colbert(small.json(COLBERT_CONFIG))
    elif "query_prefix" in config or "document_prefix" in config:
        markers = _pylate(config)
    elif overrides.query_prompt and overrides.document_prompt:
        markers = Markers(overrides.query_prompt, overrides.document_prompt)
    else:
        return None
    return Markers(
        overrides.query_prompt or markers.query,
        overrides.document_prompt or markers.document,
        markers.query_tokens,
        markers.document_tokens,
        markers.expand,
        markers.attend,
        markers.skip,
    )


def _colbert(settings: dict[str, Any]) -> Markers:
    """colbert-ir's settings (ColBERTConfig)."""
    if settings.get("similarity", "cosine") != "cosine":
        raise CheckpointUnsupported(
            "the checkpoint compares token vectors by another measure than their cosine",
            value=settings["similarity"],
            next_step="Choose one whose similarity is cosine.",
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
    """The same by ids, ``most`` tokens the longest text; None where queries and documents have no marker.

    The markers become special tokens of ``tokenizer``, so that they can be written as text. ``mask`` is the
    id that fills queries up. Raises CheckpointUnsupported where a marker is not one token of the vocabulary.
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
            "what marks a query or a document is not one token of the checkpoint's vocabulary",
            value=marker or "no marker",
            next_step="Name tokens that it has: --query-prompt '[unused0]' --document-prompt '[unused1]'.",
        )
    return token_id
