"""Queries with documents as rows of ids, truncated as sentence-transformers does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from nestvec_exporters.probes.texts import probe_texts
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.preprocessing.pair_template import PairTemplate, render_pair, truncate_pair
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import TruncationSide

TYPE_IDS: Final = "token_type_ids"
"""The input that says of which of the two texts a token is, (n, t) int64 of 0 and 1."""

TextPair = tuple[str, str]
"""A query with a document."""

_MAX_QUERY_CHARACTERS = 80
"""The longest query among the probes, in characters."""


def pair_rows(
    folder: Path,
    inputs: Sequence[TextPair],
    tokens: int,
    template: PairTemplate | None = None,
    side: TruncationSide = "right",
) -> list[Arrays]:
    """Pairs to rows of ids and token types, truncated to ``tokens`` on a side, the longer text first."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    if template is not None and template.between is not None:
        return [_templated_row(tokenizer, template, pair, tokens, side) for pair in inputs]
    if template is not None:
        inputs = [(f"{template.prefix}{query}", document) for query, document in inputs]
    tokenizer.enable_truncation(tokens, strategy="longest_first", direction=side)
    return [
        {
            "input_ids": np.asarray(encoding.ids, np.int64),
            TYPE_IDS: np.asarray(encoding.type_ids, np.int64),
        }
        for encoding in tokenizer.encode_batch_fast(list(inputs))
    ]


def _templated_row(
    tokenizer: Tokenizer, template: PairTemplate, pair: TextPair, tokens: int, side: TruncationSide
) -> Arrays:
    rendered = render_pair(template, *pair)
    encoding = tokenizer.encode(rendered.text, add_special_tokens=False)
    starts = np.asarray(encoding.offsets, np.int64).reshape(-1, 2)[:, 0]
    ids = np.asarray(encoding.ids, np.int64)
    ids = truncate_pair(ids, starts, rendered.document, template.ending, tokens, side)
    return {"input_ids": ids, TYPE_IDS: np.zeros_like(ids)}


@cache
def probe_pairs() -> tuple[TextPair, ...]:
    """Real texts, each behind the beginning of one before it."""
    return pairs_of(probe_texts())


def pairs_of(texts: Sequence[str]) -> tuple[TextPair, ...]:
    """Each text behind the beginning of one before it."""
    return tuple((texts[at // 2][:_MAX_QUERY_CHARACTERS], text) for at, text in enumerate(texts))
