"""Training texts as token ids, and whether the tokenizer can read them at all."""

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
"""The share of tokens unknown to the vocabulary from which on a text is noise to the encoder."""


def encode_texts(
    tokenizer: Tokenizer, items: Sequence[RoleText], prompts: Mapping[PromptName, str], unknown_id: int | None
) -> TokenIds:
    """The ids of each text behind its role's prompt, cut where ``tokenizer`` cuts.

    ``unknown`` is the id of the token for what is not in the vocabulary, None where there is none.
    Raises TrainingDataUnusable where most texts have no more than such tokens.
    """
    encodings = tokenizer.encode_batch([prompts.get(item.role, "") + item.text for item in items])
    unreadable = [
        at
        for at, encoding in enumerate(encodings)
        if _unknown_share(encoding, unknown_id) > _MAX_UNKNOWN_SHARE
    ]
    if len(unreadable) > _MAX_UNKNOWN_SHARE * len(items):
        raise TrainingDataUnusable(
            "the checkpoint's tokenizer cannot read these texts: most of their words are unknown to it",
            value=f"{len(unreadable)} of {len(items)} texts, the first: {items[unreadable[0]].text[:60]}",
            next_step="Choose a checkpoint that was trained on the language of the texts.",
        )
    return [np.asarray(encoding.ids, np.int32) for encoding in encodings]


def unknown_token_id(tokenizer: Any) -> int | None:
    """The id of a transformers tokenizer's unknown token, if it has one of its own."""
    token = tokenizer.unk_token
    shared = (tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token)
    return None if token is None or token in shared else int(tokenizer.unk_token_id)


def _unknown_share(encoding: Any, unknown_id: int | None) -> float:
    ids = np.asarray(encoding.ids)[np.asarray(encoding.special_tokens_mask) == 0]
    # A text of no tokens at all tells as little as one of unknown ones.
    return float((ids == unknown_id).mean()) if len(ids) else 1.0


def batches_by_length(rows: Sequence[NDArray[np.int32]], size: int) -> list[list[int]]:
    """Places of rows of like length together, longest first, ``size`` at most in a group."""
    order = sorted(range(len(rows)), key=lambda at: -len(rows[at]))
    return [order[start : start + size] for start in range(0, len(order), size)]
