"""The tokenizer of an encoder that takes bytes or code points: ``TextTokenizer`` without a file."""

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
    """The tokenizer of one token-free encoder. Thread-safe: its parts are immutable."""

    def __init__(self, scheme: UnitScheme, max_tokens: int) -> None:
        """Use a row of UNIT_SCHEMES. Raises ManifestCorrupt if no text fits ``max_tokens``."""
        byte_tokens.encode_units("", scheme, max_tokens)
        self.max_tokens = max_tokens
        self._scheme = scheme

    def encode(self, texts: Sequence[str], direction: Direction = "right") -> list[Tokens]:
        """The tokens of each text, truncated to ``max_tokens`` on the side that ``direction`` names."""
        return [
            Tokens(*byte_tokens.encode_units(text, self._scheme, self.max_tokens, direction))
            for text in texts
        ]

    def truncate(self, ids: Sequence[int], direction: Direction = "right") -> Tokens:
        """Token ids from the client, truncated to ``max_tokens``."""
        return truncate_ids(ids, self.max_tokens, direction)

    def chunk(self, texts: Sequence[str]) -> list[TokenChunks]:
        """All tokens of each text, in chunks of ``max_tokens`` with special tokens around each."""
        return [self._chunks(text) for text in texts]

    def _chunks(self, text: str) -> TokenChunks:
        ids = tuple(byte_tokens.split_units(text, self._scheme, self.max_tokens))
        return TokenChunks(ids, tuple(max(1, len(row) - self._scheme.special) for row in ids))

    def chunk_ids(self, ids: Sequence[int]) -> TokenChunks:
        """Token ids from the client in chunks of ``max_tokens``, without added special tokens."""
        return chunk_ids(ids, self.max_tokens)

    def tokenize(self, texts: Sequence[str], *, special: bool = True) -> list[list[Token]]:
        """All tokens of each text; ``special`` adds special tokens."""
        return [
            [Token(*row) for row in byte_tokens.character_tokens(text, self._scheme, special=special)]
            for text in texts
        ]

    def vocabulary_entries(self, ids: Sequence[int]) -> list[str]:
        """The number of each byte or code point, in brackets."""
        return [f"[{token_id}]" for token_id in ids]

    def __len__(self) -> int:
        """The size of the vocabulary."""
        return self._scheme.vocabulary
