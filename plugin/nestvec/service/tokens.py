"""Text to token ids, in threads of the tokenizers library, cut to what the encoder takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from nestvec_schemas.errors import ManifestCorrupt

Direction = Literal["right", "left"]


@dataclass(frozen=True)
class Tokens:
    """One text as ids, (t,) int64 with special tokens; ``whole`` is t before it was cut."""

    ids: NDArray[np.int64]
    whole: int

    @property
    def truncated(self) -> bool:
        return self.whole > len(self.ids)


class Tokeniser:
    """The tokenizer of one encoder. Thread-safe: nothing changes after construction."""

    def __init__(self, path: Path, max_tokens: int) -> None:
        """Read ``tokenizer.json``. Raises ManifestCorrupt."""
        self.max_tokens = max_tokens
        try:
            self._cutting = {side: _load(path, max_tokens, side) for side in ("right", "left")}
        except Exception as error:  # the library raises plain Exception
            raise ManifestCorrupt(
                f"{path} is not a tokenizer", value=str(error), next_step="Export the encoder again."
            ) from error
        self._special = self._cutting["right"].num_special_tokens_to_add(False)

    def encode(self, texts: Sequence[str], direction: Direction = "right") -> list[Tokens]:
        """The tokens of each text, cut at ``max_tokens`` on the side that ``direction`` names."""
        encodings = self._cutting[direction].encode_batch_fast([_writable(text) for text in texts])
        return [
            Tokens(
                np.asarray(one.ids, np.int64),
                len(one.ids) + sum(len(more.ids) - self._special for more in one.overflowing),
            )
            for one in encodings
        ]

    def take(self, ids: Sequence[int], direction: Direction = "right") -> Tokens:
        """Ids that a client made itself, cut at ``max_tokens``."""
        kept = ids[: self.max_tokens] if direction == "right" else ids[-self.max_tokens :]
        return Tokens(np.asarray(kept, np.int64), len(ids))

    def __len__(self) -> int:
        """The number of ids that the encoder knows."""
        return self._cutting["right"].get_vocab_size()


def _load(path: Path, max_tokens: int, side: str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=side)
    return tokenizer


def _writable(text: str) -> str:
    """JSON can carry half of a surrogate pair; the tokenizer takes only what UTF-8 can write."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
