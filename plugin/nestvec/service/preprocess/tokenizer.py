"""Text to token ids, in threads of the tokenizers library, cut to what the encoder takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from nestvec_schemas.errors import ManifestCorrupt

Direction = Literal["right", "left"]

_CHARACTERS_PER_TOKEN = 64
"""Characters for each token that is kept, in which as many tokens are looked for at first."""

MAX_CHARACTERS_READ = 1 << 20
"""Characters of one text that are read to cut it, and of several that are tokenised at once."""


@dataclass(frozen=True)
class Tokens:
    """One text as ids, (t,) int64 with special tokens.

    ``whole`` is t before it was cut, and less than that for a text of very many times ``max_tokens``.
    """

    ids: NDArray[np.int64]
    whole: int

    @property
    def truncated(self) -> bool:
        return self.whole > len(self.ids)


@dataclass(frozen=True)
class PairTokens:
    """A query and a document in one row: ids, and which of the two each is of (0 or 1), (t,) int64.

    ``whole`` is t before it was cut."""

    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    whole: int


@dataclass(frozen=True)
class TokenChunks:
    """One text as chunks that each fit the encoder: their ids, (t,) int64, and their own tokens."""

    ids: tuple[NDArray[np.int64], ...]
    weights: tuple[int, ...]


@dataclass(frozen=True)
class TokenOffsets:
    """A text's ids, (t,) int64, and the characters that each stands for, (t, 2) int64; (0, 0) for none."""

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class Token:
    """One token of a text: characters ``start`` to ``stop``, None where a special token stands."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class EncoderTokenizer:
    """The tokenizer of one encoder. Thread-safe: what it is made of does not change."""

    def __init__(self, path: Path, max_tokens: int) -> None:
        """Read ``tokenizer.json``. Raises ManifestCorrupt."""
        self.max_tokens = max_tokens
        try:
            self._cutting = {side: _load_tokenizer(path, max_tokens, side) for side in ("right", "left")}
        except Exception as error:  # the library raises plain Exception
            raise ManifestCorrupt(
                f"{path} is not a tokenizer", value=str(error), next_step="Export the encoder again."
            ) from error
        self._special = self._cutting["right"].num_special_tokens_to_add(False)

    def encode(self, texts: Sequence[str], direction: Direction = "right") -> list[Tokens]:
        """The tokens of each text, cut at ``max_tokens`` on the side that ``direction`` names."""
        return [
            tokens for texts_slice in _text_slices(texts) for tokens in self._encode(texts_slice, direction)
        ]

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str]], direction: Direction = "right"
    ) -> list[PairTokens]:
        """The tokens of each query with its document, cut at ``max_tokens``: the longer of the two first, on
        the side that ``direction`` names."""
        max_characters = _CHARACTERS_PER_TOKEN * self.max_tokens
        clipped = [
            tuple(replace_lone_surrogates(_kept_end(text, max_characters, direction)) for text in pair)
            for pair in pairs
        ]
        encodings = self._cutting_pairs[direction].encode_batch_fast(clipped)
        # How many tokens there were, the pieces that were cut off do not say: they hold some twice.
        overflowing = [
            pair for pair, encoding in zip(clipped, encodings, strict=True) if encoding.overflowing
        ]
        untruncated = iter(self._whole.encode_batch_fast(overflowing))
        return [
            _pair_tokens(encoding, len(next(untruncated) if encoding.overflowing else encoding))
            for encoding in encodings
        ]

    @cached_property
    def _cutting_pairs(self) -> dict[str, Tokenizer]:
        by_side = {side: Tokenizer.from_str(one.to_str()) for side, one in self._cutting.items()}
        for side, tokenizer in by_side.items():
            tokenizer.enable_truncation(self.max_tokens, strategy="longest_first", direction=side)
        return by_side

    def _encode(self, texts: Sequence[str], direction: Direction) -> list[Tokens]:
        """Of a text far longer than what is kept, only the end that is kept is read, unless that turns out
        to hold too few tokens: the library takes about a hundred bytes a character."""
        tokenizer, max_characters = self._cutting[direction], _CHARACTERS_PER_TOKEN * self.max_tokens
        encodings = tokenizer.encode_batch_fast(
            [_kept_end(text, max_characters, direction) for text in texts]
        )
        return [
            self._tokens(text, encoding)
            if len(text) <= max_characters or len(encoding.overflowing) > 1
            else self._tokens(text, tokenizer.encode(_kept_end(text, MAX_CHARACTERS_READ, direction)))
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def _tokens(self, text: str, encoding: Encoding) -> Tokens:
        total = len(encoding.ids) + sum(len(more.ids) - self._special for more in encoding.overflowing)
        # What is not read is cut, however few tokens the rest holds.
        at_least = self.max_tokens + 1 if len(text) > MAX_CHARACTERS_READ else 0
        return Tokens(np.asarray(encoding.ids, np.int64), max(total, at_least))

    def take(self, ids: Sequence[int], direction: Direction = "right") -> Tokens:
        """Ids that a client made itself, cut at ``max_tokens``."""
        return truncate_ids(ids, self.max_tokens, direction)

    def split(self, texts: Sequence[str]) -> list[TokenChunks]:
        """All tokens of each text, in chunks of ``max_tokens`` with special tokens around each."""
        tokenizer = self._cutting["right"]
        return [
            self._pieces([encoding.ids, *(more.ids for more in encoding.overflowing)])
            for texts_slice in _text_slices(texts)
            for encoding in tokenizer.encode_batch_fast(texts_slice)
        ]

    def _pieces(self, rows: Sequence[Sequence[int]]) -> TokenChunks:
        ids = tuple(np.asarray(row, np.int64) for row in rows)
        return TokenChunks(ids, tuple(max(1, len(row) - self._special) for row in rows))

    def split_ids(self, ids: Sequence[int]) -> TokenChunks:
        """Ids that a client made itself in chunks of ``max_tokens``, as they are."""
        return chunk_ids(ids, self.max_tokens)

    def spell(self, texts: Sequence[str], *, special: bool = True) -> list[list[Token]]:
        """The tokens of each text, none cut; without special tokens where ``special`` is false."""
        readable = [replace_lone_surrogates(text) for text in texts]
        encodings = self._whole.encode_batch(readable, add_special_tokens=special)
        return [_text_tokens(text, encoding) for text, encoding in zip(readable, encodings, strict=True)]

    def words(self, ids: Sequence[int]) -> list[str]:
        """What the vocabulary has under each id: a word, or a piece of one as the tokenizer writes it."""
        id_to_token = self._cutting["right"].id_to_token
        return [id_to_token(token_id) or f"[{token_id}]" for token_id in ids]

    def place(self, texts: Sequence[str], *, special: bool) -> list[TokenOffsets]:
        """The ids of each text, none cut, and where each stands in it."""
        encodings = self._whole.encode_batch(
            [replace_lone_surrogates(text) for text in texts], add_special_tokens=special
        )
        return [
            TokenOffsets(
                np.asarray(encoding.ids, np.int64), np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
            )
            for encoding in encodings
        ]

    @cached_property
    def _whole(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self._cutting["right"].to_str())
        tokenizer.no_truncation()
        return tokenizer

    def __len__(self) -> int:
        """The number of ids that the encoder knows."""
        return self._cutting["right"].get_vocab_size()


def _pair_tokens(encoding: Encoding, total: int) -> PairTokens:
    ids, types = (np.asarray(numbers, np.int64) for numbers in (encoding.ids, encoding.type_ids))
    return PairTokens(ids, types, total)


def truncate_ids(ids: Sequence[int], max_tokens: int, direction: Direction) -> Tokens:
    """Ids as they are, at most ``max_tokens`` of them, cut on the side that ``direction`` names."""
    remaining = ids[:max_tokens] if direction == "right" else ids[-max_tokens:]
    return Tokens(np.asarray(remaining, np.int64), len(ids))


def chunk_ids(ids: Sequence[int], max_tokens: int) -> TokenChunks:
    """Ids as they are in chunks of ``max_tokens``; one empty chunk where there are none."""
    starts = range(0, len(ids), max_tokens) if ids else range(1)
    rows = tuple(np.asarray(ids[start : start + max_tokens], np.int64) for start in starts)
    return TokenChunks(rows, tuple(len(row) for row in rows))


def _load_tokenizer(path: Path, max_tokens: int, side: str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=side)
    return tokenizer


def _text_slices(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts, made writable, in turns of about ``MOST_READ`` characters."""
    texts_slice: list[str] = []
    characters = 0
    for text in texts:
        if texts_slice and characters + len(text) > MAX_CHARACTERS_READ:
            yield texts_slice
            texts_slice, characters = [], 0
        texts_slice.append(replace_lone_surrogates(text))
        characters += len(text)
    if texts_slice:
        yield texts_slice


def _kept_end(text: str, characters: int, direction: Direction) -> str:
    return text[:characters] if direction == "right" else text[-characters:]


def _text_tokens(text: str, encoding: Encoding) -> list[Token]:
    rows = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
    return [
        Token(id_, name, True, None, None) if special else Token(id_, text[start:stop], False, start, stop)
        for id_, name, special, (start, stop) in rows
    ]


def replace_lone_surrogates(text: str) -> str:
    """JSON can carry half of a surrogate pair; the tokenizer takes only what UTF-8 can write."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
