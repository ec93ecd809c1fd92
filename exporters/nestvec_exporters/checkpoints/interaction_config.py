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

METADATA: Final = "artifact.metadata"
PYLATE: Final = "config_sentence_transformers.json"

_PUNCTUATION: Final = tuple(string.punctuation)
_SHORT, _LONG = 32, 180


@dataclass(frozen=True)
class Markers:
    """What stands before queries and documents, as text; tokens of each; how queries are filled up; and the
    words whose vectors documents leave out."""

    query: str
    document: str
    query_tokens: int = _SHORT
    document_tokens: int = _LONG
    expand: bool = True
    attend: bool = False
    skip: Sequence[str] = _PUNCTUATION


def read_markers(small: CheckpointFiles, overrides: Overrides) -> Markers | None:
    """What a checkpoint says; None where it says nothing of late interaction and ``overrides`` does not.

    Prompts of ``overrides`` stand for the checkpoint's. Raises CheckpointUnsupported.
    """
    config = small.json(PYLATE)
    if small.has(METADATA):
        found = _colbert(small.json(METADATA))
    elif "query_prefix" in config or "document_prefix" in config:
        found = _pylate(config)
    elif overrides.query_prompt and overrides.document_prompt:
        found = Markers(overrides.query_prompt, overrides.document_prompt)
    else:
        return None
    return Markers(
        overrides.query_prompt or found.query,
        overrides.document_prompt or found.document,
        found.query_tokens,
        found.document_tokens,
        found.expand,
        found.attend,
        found.skip,
    )


def _colbert(told: dict[str, Any]) -> Markers:
    """colbert-ir's settings (ColBERTConfig)."""
    if told.get("similarity", "cosine") != "cosine":
        raise CheckpointUnsupported(
            "the checkpoint compares token vectors by another measure than their cosine",
            value=told["similarity"],
            next_step="Choose one whose similarity is cosine.",
        )
    return Markers(
        query=_text(told, "query_token_id", "[unused0]"),
        document=_text(told, "doc_token_id", "[unused1]"),
        query_tokens=int(told.get("query_maxlen") or _SHORT),
        document_tokens=int(told.get("doc_maxlen") or _LONG),
        attend=bool(told.get("attend_to_mask_tokens", False)),
        skip=_PUNCTUATION if told.get("mask_punctuation", True) else (),
    )


def _pylate(told: dict[str, Any]) -> Markers:
    words = told.get("skiplist_words")
    return Markers(
        query=_text(told, "query_prefix", "[Q] "),
        document=_text(told, "document_prefix", "[D] "),
        query_tokens=int(told.get("query_length") or _SHORT),
        document_tokens=int(told.get("document_length") or _LONG),
        expand=told.get("do_query_expansion") is not False,
        attend=bool(told.get("attend_to_expansion_tokens", False)),
        skip=_PUNCTUATION if words is None else tuple(map(str, words)),
    )


def _text(told: dict[str, Any], name: str, default: str) -> str:
    found = told.get(name)
    return default if found is None else str(found)


def interaction_of(markers: Markers, tokenizer: Tokenizer, mask: int | None, most: int) -> Interaction | None:
    """The same by ids, ``most`` tokens the longest text; None where queries and documents have no marker.

    The markers become special tokens of ``tokenizer``, so that they can be written as text. ``mask`` is the
    id that fills queries up. Raises CheckpointUnsupported where a marker is not one token of the vocabulary.
    """
    if not markers.query and not markers.document:
        return None
    size = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([one for one in (markers.query, markers.document) if one])
    query, document = (_marker(tokenizer, one, size) for one in (markers.query, markers.document))
    ids = (tokenizer.token_to_id(word) for word in markers.skip)
    return Interaction(
        query_marker=query,
        document_marker=document,
        query_tokens=min(markers.query_tokens, most),
        mask=mask if markers.expand else None,
        attend=markers.attend,
        skip=tuple(sorted({one for one in ids if one is not None})),
    )


def _marker(tokenizer: Tokenizer, marker: str, size: int) -> int:
    found = tokenizer.token_to_id(marker) if marker else None
    second = tokenizer.encode(f"{marker}a").ids[1:2]
    if found is None or found >= size or second != [found]:
        raise CheckpointUnsupported(
            "what marks a query or a document is not one token of the checkpoint's vocabulary",
            value=marker or "no marker",
            next_step="Name tokens that it has: --query-prompt '[unused0]' --document-prompt '[unused1]'.",
        )
    return found
