"""The tokeniser of an encoder that takes bytes or code points: what ``Tokeniser`` offers, without a file."""

from __future__ import annotations

from collections.abc import Sequence

from nestvec.service.preprocess.tokenizer import (
    Direction,
    Token,
    TokenChunks,
    Tokens,
    chunk_ids,
    truncate_ids,
)
from nestvec_schemas.preprocessing import byte_tokens
from nestvec_schemas.preprocessing.byte_tokens import UnitScheme


class ByteTokenizer:
    """The ids of one token-free encoder. Thread-safe: what it is made of does not change."""

    def __init__(self, scheme: UnitScheme, max_tokens: int) -> None:
        """Take a row of ``bytetokens.SCHEMES``. Raises ManifestCorrupt where no text fits ``max_tokens``."""
        byte_tokens.encode_units("", scheme, max_tokens)
        self.max_tokens = max_tokens
        self._scheme = scheme

    def encode(self, texts: Sequence[str], direction: Direction = "right") -> list[Tokens]:
        """The tokens of each text, cut at ``max_tokens`` on the side that ``direction`` names."""
        return [
            Tokens(*byte_tokens.encode_units(text, self._scheme, self.max_tokens, direction))
            for text in texts
        ]

    def take(self, ids: Sequence[int], direction: Direction = "right") -> Tokens:
        """Ids that a client made itself, cut at ``max_tokens``."""
        return truncate_ids(ids, self.max_tokens, direction)

    def split(self, texts: Sequence[str]) -> list[TokenChunks]:
        """All tokens of each text, in chunks of ``max_tokens`` with special tokens around each."""
        return [self._pieces(text) for text in texts]

    def _pieces(self, text: str) -> TokenChunks:
        ids = tuple(byte_tokens.split_units(text, self._scheme, self.max_tokens))
        return TokenChunks(ids, tuple(max(1, len(row) - self._scheme.special) for row in ids))

    def split_ids(self, ids: Sequence[int]) -> TokenChunks:
        """Ids that a client made itself in chunks of ``max_tokens``, as they are."""
        return chunk_ids(ids, self.max_tokens)

    def spell(self, texts: Sequence[str], *, special: bool = True) -> list[list[Token]]:
        """The tokens of each text, none cut; without special tokens where ``special`` is false."""
        return [
            [Token(*row) for row in byte_tokens.character_tokens(text, self._scheme, special=special)]
            for text in texts
        ]

    def words(self, ids: Sequence[int]) -> list[str]:
        """A number a byte or codepoint: they are no words."""
        return [f"[{token_id}]" for token_id in ids]

    def __len__(self) -> int:
        """The number of ids that the encoder knows."""
        return self._scheme.vocabulary
