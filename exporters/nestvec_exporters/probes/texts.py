"""The texts that an encoder and its source are compared on, and the tokenizer's rows for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.samples.docstrings import sample_texts
from nestvec_schemas.towers import TruncationSide

PROBE_COUNT: Final = 64

MAX_PROBE_TOKENS: Final = 512
"""The most tokens of a compared text, where the encoder takes more: attention over 8,192 tokens needs
gigabytes."""


@cache
def probe_texts() -> tuple[str, ...]:
    """Real texts of all lengths; the last is longer than any encoder's limit."""
    sampled = sample_texts(PROBE_COUNT - 1)
    return (*sampled, " ".join(sampled))


def marked_probe_texts(query: str, document: str) -> tuple[str, ...]:
    """The same behind what marks queries and documents, by turns."""
    return tuple(f"{document if at % 2 else query}{text}" for at, text in enumerate(probe_texts()))


def text_rows(
    folder: Path, texts: Sequence[str], tokens: int, side: TruncationSide = "right"
) -> list[Arrays]:
    """Texts to rows of ids, truncated to ``tokens`` on a side, by the tokenizer in an encoder's folder."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.enable_truncation(tokens, direction=side)
    return [
        {"input_ids": np.asarray(encoding.ids, np.int64)}
        for encoding in tokenizer.encode_batch_fast(list(texts))
    ]
