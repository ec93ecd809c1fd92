"""Text to token ids with the tokenizers library, truncated to what the encoder takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from nestvec_schemas.errors import ManifestCorrupt
from nestvec_schemas.preprocessing.pair_template import PairTemplate, render_pair, truncate_pair

Direction = Literal["right", "left"]

MAX_CHARACTERS_READ = 1 << 20
"""Characters of one text that are read to truncate it, and of several that are tokenized at once."""

_CHARACTERS_PER_TOKEN = 64
"""Characters read at first for each token that is kept."""

_MIN_CHARACTERS_READ = 1 << 14
"""Characters of a text that are read in any case: the end of what is read may split a word."""


@dataclass(frozen=True)
class Tokens:
    """One text as token ids, special tokens included."""

    ids: NDArray[np.int64]
    """(t,) int64"""
    total: int
    """Tokens before truncation. A lower bound for a text many times longer than ``max_tokens``."""

    @property
    def truncated(self) -> bool:
        return self.total > len(self.ids)


@dataclass(frozen=True)
class PairTokens:
    """A query and a document in one sequence."""

    ids: NDArray[np.int64]
    """(t,) int64"""
    types: NDArray[np.int64]
    """(t,) int64: 0 for the query's tokens, 1 for the document's"""
    total: int
    """Tokens before truncation."""


@dataclass(frozen=True)
class TokenChunks:
    """One text in chunks that each fit the encoder."""

    ids: tuple[NDArray[np.int64], ...]
    """(t,) int64 for each chunk, special tokens included"""
    weights: tuple[int, ...]
    """The number of tokens of each chunk, special tokens excluded."""


@dataclass(frozen=True)
class TokenOffsets:
    """The ids of a text and the characters that each stands for."""

    ids: NDArray[np.int64]
    """(t,) int64"""
    offsets: NDArray[np.int64]
    """(t, 2) int64: start and end; (0, 0) for a special token"""


class Token(NamedTuple):
    """One token of a text. A tuple, as a text has many."""

    id: int
    text: str
    special: bool
    start: int | None
    """First character; None for a special token."""
    stop: int | None


class TextTokenizer(Protocol):
    """What the service needs of a tokenizer."""

    @property
    def max_tokens(self) -> int: ...

    def encode(self, texts: Sequence[str], direction: Direction = "right") -> list[Tokens]:
        """The tokens of each text, truncated to ``max_tokens`` on the side that ``direction`` names."""
        ...

    def truncate(self, ids: Sequence[int], direction: Direction = "right") -> Tokens:
        """Token ids from the client, truncated to ``max_tokens``."""
        ...

    def chunk(self, texts: Sequence[str]) -> list[TokenChunks]:
        """All tokens of each text, in chunks of ``max_tokens`` with special tokens around each."""
        ...

    def chunk_ids(self, ids: Sequence[int]) -> TokenChunks:
        """Token ids from the client in chunks of ``max_tokens``, without added special tokens."""
        ...

    def tokenize(self, texts: Sequence[str], *, special: bool = True) -> list[list[Token]]:
        """All tokens of each text; ``special`` adds special tokens."""
        ...

    def vocabulary_entries(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's entry for each id."""
        ...

    def __len__(self) -> int:
        """The size of the vocabulary."""
        ...


class EncoderTokenizer:
    """The tokenizer of one encoder. Thread-safe: its parts are immutable."""

    def __init__(self, path: Path, max_tokens: int) -> None:
        """Read ``tokenizer.json``. Raises ManifestCorrupt."""
        self.max_tokens = max_tokens
        try:
            self._truncating = {side: _load_tokenizer(path, max_tokens, side) for side in ("right", "left")}
        except Exception as error:  # the library raises plain Exception
            raise ManifestCorrupt(
                f"{path} is not a tokenizer", value=str(error), next_step="Export the encoder again."
            ) from error
        self._special_count = self._truncating["right"].num_special_tokens_to_add(False)
        self._max_characters = max(_CHARACTERS_PER_TOKEN * max_tokens, _MIN_CHARACTERS_READ)

    def encode(self, texts: Sequence[str], direction: Direction = "right") -> list[Tokens]:
        """The tokens of each text, truncated to ``max_tokens`` on the side that ``direction`` names."""
        if len(texts) == 1 and len(texts[0]) <= _MIN_CHARACTERS_READ:
            text = replace_lone_surrogates(texts[0])
            return [self._tokens(text, self._truncating[direction].encode_batch_fast([text])[0])]
        return [tokens for batch in _text_batches(texts) for tokens in self._encode(batch, direction)]

    def encode_pairs(
        self,
        pairs: Sequence[tuple[str, str]],
        direction: Direction = "right",
        template: PairTemplate | None = None,
    ) -> list[PairTokens]:
        """The tokens of each query with its document, truncated to ``max_tokens``.

        The longer of the two loses tokens first, on the side that ``direction`` names; where ``template``
        makes one text of them, that text does (``truncate_pair``).
        """
        clipped = [
            (self._clipped(query, direction), self._clipped(document, direction)) for query, document in pairs
        ]
        if template is not None and template.between is not None:
            return [self._templated(template, query, document, direction) for query, document in clipped]
        if template is not None:
            clipped = [(f"{template.prefix}{query}", document) for query, document in clipped]
        encodings = self._truncating_pairs[direction].encode_batch_fast(clipped)
        # The overflowing encodings overlap, so the total has to be counted without truncation.
        truncated = [pair for pair, encoding in zip(clipped, encodings, strict=True) if encoding.overflowing]
        untruncated = iter(self._untruncated.encode_batch_fast(truncated))
        return [
            _pair_tokens(encoding, len(next(untruncated) if encoding.overflowing else encoding))
            for encoding in encodings
        ]

    def _clipped(self, text: str, direction: Direction) -> str:
        """What is read of one text of a pair: enough that none of the tokens that are kept is left out."""
        max_characters = self._max_characters
        if len(text) > max_characters:
            clipped = replace_lone_surrogates(_clip(text, max_characters, direction))
            count = len(self._untruncated.encode(clipped, add_special_tokens=False).ids)
            # White space and long words have few tokens.
            characters = max_characters if count > 2 * self.max_tokens else MAX_CHARACTERS_READ
            text = _clip(text, characters, direction)
        return replace_lone_surrogates(text)

    def _templated(
        self, template: PairTemplate, query: str, document: str, direction: Direction
    ) -> PairTokens:
        rendered = render_pair(template, query, document)
        encoding = self._untruncated.encode(rendered.text, add_special_tokens=False)
        starts = np.asarray(encoding.offsets, np.int64).reshape(-1, 2)[:, 0]
        ids = truncate_pair(
            np.asarray(encoding.ids, np.int64),
            starts,
            rendered.document,
            template.ending,
            self.max_tokens,
            direction,
        )
        return PairTokens(ids, np.zeros_like(ids), len(encoding.ids))

    @cached_property
    def _truncating_pairs(self) -> dict[str, Tokenizer]:
        by_side = {side: Tokenizer.from_str(single.to_str()) for side, single in self._truncating.items()}
        for side, tokenizer in by_side.items():
            tokenizer.enable_truncation(self.max_tokens, strategy="longest_first", direction=side)
        return by_side

    def _encode(self, texts: Sequence[str], direction: Direction) -> list[Tokens]:
        """Tokenize only the end of a very long text that is kept, unless it turns out to hold too few tokens.

        The library takes about a hundred bytes a character.
        """
        tokenizer, max_characters = self._truncating[direction], self._max_characters
        encodings = tokenizer.encode_batch_fast([_clip(text, max_characters, direction) for text in texts])
        return [
            self._tokens(text, encoding)
            if len(text) <= max_characters or len(encoding.overflowing) > 1
            else self._tokens(text, tokenizer.encode(_clip(text, MAX_CHARACTERS_READ, direction)))
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def _tokens(self, text: str, encoding: Encoding) -> Tokens:
        ids = np.asarray(encoding.ids, np.int64)
        total = len(ids)
        if overflowing := encoding.overflowing:
            total += sum(len(more.ids) - self._special_count for more in overflowing)
        # Characters that are not read are truncated, however few tokens the rest holds.
        if len(text) > MAX_CHARACTERS_READ:
            total = max(total, self.max_tokens + 1)
        return Tokens(ids, total)

    def truncate(self, ids: Sequence[int], direction: Direction = "right") -> Tokens:
        """Token ids from the client, truncated to ``max_tokens``."""
        return truncate_ids(ids, self.max_tokens, direction)

    def chunk(self, texts: Sequence[str]) -> list[TokenChunks]:
        """All tokens of each text, in chunks of ``max_tokens`` with special tokens around each."""
        tokenizer = self._truncating["right"]
        return [
            self._chunks([encoding.ids, *(more.ids for more in encoding.overflowing)])
            for batch in _text_batches(texts)
            for encoding in tokenizer.encode_batch_fast(batch)
        ]

    def _chunks(self, rows: Sequence[Sequence[int]]) -> TokenChunks:
        ids = tuple(np.asarray(row, np.int64) for row in rows)
        return TokenChunks(ids, tuple(max(1, len(row) - self._special_count) for row in rows))

    def chunk_ids(self, ids: Sequence[int]) -> TokenChunks:
        """Token ids from the client in chunks of ``max_tokens``, without added special tokens."""
        return chunk_ids(ids, self.max_tokens)

    def tokenize(self, texts: Sequence[str], *, special: bool = True) -> list[list[Token]]:
        """All tokens of each text; ``special`` adds special tokens."""
        readable = [replace_lone_surrogates(text) for text in texts]
        encodings = self._untruncated.encode_batch(readable, add_special_tokens=special)
        return [_text_tokens(text, encoding) for text, encoding in zip(readable, encodings, strict=True)]

    def vocabulary_entries(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's entry for each id: a word, or a piece of one as the tokenizer writes it."""
        id_to_token = self._truncating["right"].id_to_token
        return [id_to_token(token_id) or f"[{token_id}]" for token_id in ids]

    def encode_with_offsets(self, texts: Sequence[str], *, special: bool) -> list[TokenOffsets]:
        """All ids of each text, and the characters that each stands for."""
        readable = [replace_lone_surrogates(text) for text in texts]
        return [
            TokenOffsets(
                np.asarray(encoding.ids, np.int64), np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
            )
            for encoding in self._untruncated.encode_batch(readable, add_special_tokens=special)
        ]

    @cached_property
    def _untruncated(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self._truncating["right"].to_str())
        tokenizer.no_truncation()
        return tokenizer

    def __len__(self) -> int:
        """The size of the vocabulary."""
        return self._truncating["right"].get_vocab_size()


def truncate_ids(ids: Sequence[int], max_tokens: int, direction: Direction) -> Tokens:
    """At most ``max_tokens`` of the ids, truncated on the side that ``direction`` names."""
    kept_ids = ids[:max_tokens] if direction == "right" else ids[-max_tokens:]
    return Tokens(np.asarray(kept_ids, np.int64), len(ids))


def chunk_ids(ids: Sequence[int], max_tokens: int) -> TokenChunks:
    """Ids in chunks of ``max_tokens``; one empty chunk if there are none."""
    starts = range(0, len(ids), max_tokens) if ids else range(1)
    rows = tuple(np.asarray(ids[start : start + max_tokens], np.int64) for start in starts)
    return TokenChunks(rows, tuple(len(row) for row in rows))


def replace_lone_surrogates(text: str) -> str:
    """JSON can carry half of a surrogate pair; the tokenizer takes only what UTF-8 can encode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _pair_tokens(encoding: Encoding, total: int) -> PairTokens:
    return PairTokens(np.asarray(encoding.ids, np.int64), np.asarray(encoding.type_ids, np.int64), total)


def _load_tokenizer(path: Path, max_tokens: int, side: str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=side)
    return tokenizer


def _text_batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts, encodable as UTF-8, in batches of about ``MAX_CHARACTERS_READ`` characters."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        if batch and characters + len(text) > MAX_CHARACTERS_READ:
            yield batch
            batch, characters = [], 0
        batch.append(replace_lone_surrogates(text))
        characters += len(text)
    if batch:
        yield batch


def _clip(text: str, characters: int, direction: Direction) -> str:
    return text[:characters] if direction == "right" else text[-characters:]


def _text_tokens(text: str, encoding: Encoding) -> list[Token]:
    rows = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
    return [
        Token(id_, name, True, None, None) if special else Token(id_, text[start:stop], False, start, stop)
        for id_, name, special, (start, stop) in rows
    ]
