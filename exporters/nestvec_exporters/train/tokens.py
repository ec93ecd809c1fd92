"""Training texts as token ids, and whether the tokenizer knows their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from nestvec_exporters.training_data import RoleText
from nestvec_schemas.errors import TrainingDataUnusable
from nestvec_schemas.manifest import PromptName

TokenIds = list[NDArray[np.int32]]

_MAX_UNKNOWN_SHARE = 0.5
"""The share of unknown tokens above which a text is noise to the encoder."""


def encode_texts(
    tokenizer: Tokenizer, items: Sequence[RoleText], prompts: Mapping[PromptName, str], unknown_id: int | None
) -> TokenIds:
    """The ids of each text after its role's prompt, truncated as ``tokenizer`` is set.

    ``unknown_id`` is the id of unknown tokens, None if there is none. Raises TrainingDataUnusable if most
    tokens of most texts are unknown.
    """
    encodings = tokenizer.encode_batch([prompts.get(item.role, "") + item.text for item in items])
    unreadable = [
        index
        for index, encoding in enumerate(encodings)
        if _unknown_share(encoding, unknown_id) > _MAX_UNKNOWN_SHARE
    ]
    if len(unreadable) > _MAX_UNKNOWN_SHARE * len(items):
        raise TrainingDataUnusable(
            "the checkpoint's tokenizer cannot read these texts: most of their words are unknown to it",
            value=f"{len(unreadable)} of {len(items)} texts, the first: {items[unreadable[0]].text[:60]}",
            next_step="Choose a checkpoint trained on the language of the texts.",
        )
    return [np.asarray(encoding.ids, np.int32) for encoding in encodings]


def unknown_token_id(tokenizer: Any) -> int | None:
    """The id of a transformers tokenizer's unknown token, if it has one of its own."""
    token = tokenizer.unk_token
    shared = (tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token)
    return None if token is None or token in shared else int(tokenizer.unk_token_id)


def _unknown_share(encoding: Any, unknown_id: int | None) -> float:
    ids = np.asarray(encoding.ids)[np.asarray(encoding.special_tokens_mask) == 0]
    # A text without tokens is as useless as one of unknown tokens.
    return float((ids == unknown_id).mean()) if len(ids) else 1.0


def batches_by_length(rows: Sequence[NDArray[np.int32]], size: int) -> list[list[int]]:
    """Indices of rows of similar length together, longest first, at most ``size`` in a batch."""
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    return [order[start : start + size] for start in range(0, len(order), size)]
