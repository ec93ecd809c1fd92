"""A checkpoint's tokenizer, as transformers loads it and as a service reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import TruncationSide


def read_tokenizer(folder: Path) -> Any:
    """Load the checkpoint's fast tokenizer. Raises CheckpointUnsupported if it has none."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast  # noqa: PLC0415 - slow

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # SigLIP's class needs sentencepiece, although its tokenizer.json would do.
        if not (folder / TOKENIZER).is_file():
            raise _no_fast_tokenizer(str(error).strip().partition("\n")[0] or type(error).__name__) from error
        return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        return tokenizer
    if not (folder / TOKENIZER).is_file():
        raise _no_fast_tokenizer(type(tokenizer).__name__)
    return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)


def fast_tokenizer(tokenizer: Any) -> Tokenizer:
    """A transformers tokenizer's backend, without truncation and padding. Raises CheckpointUnsupported."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _no_fast_tokenizer(type(tokenizer).__name__)
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def within_table(tokenizer: Tokenizer, rows: int | None) -> Tokenizer:
    """The tokenizer without added tokens for which a model's table of ``rows`` vectors has none.

    No library embeds them (EmbeddingGemma's ``<image_soft_token>``). The characters of a text that spells one
    are read as any others; it would otherwise be an error, for the texts in its batch, too.
    """
    state = json.loads(tokenizer.to_str())
    added = state.get("added_tokens") or []
    with_vectors = [token for token in added if rows is None or token["id"] < rows]
    if len(with_vectors) == len(added):
        return tokenizer
    return Tokenizer.from_str(json.dumps({**state, "added_tokens": with_vectors}))


def table_rows(transformer: Any) -> int | None:
    """The number of tokens that a transformers model has vectors for; None where it does not say."""
    try:
        return len(transformer.get_input_embeddings().weight)
    except (AttributeError, NotImplementedError, TypeError):
        return None


def truncation_side(tokenizer: Any) -> TruncationSide:
    """The side on which a transformers tokenizer cuts long texts."""
    return "left" if getattr(tokenizer, "truncation_side", "right") == "left" else "right"


def _no_fast_tokenizer(value: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        "the checkpoint has no fast tokenizer",
        value=value,
        next_step=f"Choose a checkpoint with a {TOKENIZER}.",
    )
