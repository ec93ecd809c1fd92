"""From word vectors to a table: a tokenizer that splits as the words were split, weights, senses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from nestvec_exporters.static.table import NO_ROW, EmbeddingTable, TokenLookup
from nestvec_exporters.static.word_vector_files import WordVectors
from nestvec_schemas.errors import EncoderError, nearest

_MIN_CASED_SHARE: Final = 0.01
"""The share of words with capitals from which on case matters."""

_SIF: Final = 1e-4
"""The constant a of SIF, as in Model2Vec and Arora et al. 2017."""

_SENSE: Final = re.compile(r"(.+)#([1-9][0-9]{0,3})")

_PIECES: Final = (
    ("0.5", r"\d+(?:[.,]\d+)+"),
    ("n't", r"\w+?(?=n't\b)|n't"),
    ("'s", r"'(?:s|re|ve|ll|d|m)\b"),
    ("...", r"\.\.\."),
)
r"""Patterns that are matched before ``\w+`` and single marks if the table has a word like them, as in the
Penn Treebank's tokens, which GloVe was trained on."""

WEIGHTINGS: Final = ("mean", "sif")


def word_table(words: WordVectors, pooling: str | None = None) -> EmbeddingTable:
    """A table of words whose means are normalised; unknown words share a row of zeros and do not count.

    The pooling ``sif`` weights words by their rarity, a/(a + p) with p from their rank by Zipf's law (Arora
    et al. 2017, as Model2Vec does); ``mean`` weights all equally. ``bank#1``, ``bank#2`` are senses of a
    word. Raises EncoderError for another pooling.
    """
    weighting = pooling or "mean"
    if weighting not in WEIGHTINGS:
        raise EncoderError(
            "word vectors do not support this pooling",
            value=weighting,
            next_step=f"Choose {' or '.join(WEIGHTINGS)}.{nearest(weighting, WEIGHTINGS)}",
        )
    names, rows = _group_senses(words)
    pattern, lower = _pattern(words.words), _lower(words.words)
    unknown = len(names)
    vocabulary = {name: number for number, name in enumerate(names)}
    return EmbeddingTable(
        vectors=words.vectors,
        tokenizer=_build_tokenizer(vocabulary, unknown, pattern, lower=lower),
        reference_ids=partial(_token_ids, vocabulary, re.compile(pattern), lower, unknown),
        lookup=TokenLookup(rows, _sif_weights(len(names)) if weighting == "sif" else None, unknown),
        normalised=True,
        pooling=weighting,
    )


def _group_senses(words: WordVectors) -> tuple[Sequence[str], NDArray[np.int64] | None]:
    """The words; if any has several senses, also the rows of each, and the row of zeros for unknown words."""
    rows_by_word: dict[str, list[int]] = {}
    for word, row in words.words.items():
        sense = _SENSE.fullmatch(word)
        base = sense[1] if sense and _is_sense(words.words, sense[1], int(sense[2])) else word
        rows_by_word.setdefault(base, []).append(row)
    max_senses = max(map(len, rows_by_word.values()))
    if max_senses == 1:
        return list(words.words), None
    rows = np.full((len(rows_by_word) + 1, max_senses), NO_ROW, np.int64)
    for number, own in enumerate(rows_by_word.values()):
        rows[number, : len(own)] = own
    rows[-1, 0] = len(words.words)
    return list(rows_by_word), rows


def _is_sense(words: dict[str, int], base: str, number: int) -> bool:
    """Whether ``base#number`` is one of several senses numbered from 1, rather than a word of its own."""
    return (
        f"{base}#1" in words
        and f"{base}#2" in words
        and base not in words
        and (number <= 2 or f"{base}#{number - 1}" in words)
    )


def _sif_weights(count: int) -> NDArray[np.float32]:
    """The weights of words, most frequent first, and of unknown words, (count + 1,)."""
    odds = 1 / np.arange(1, count + 1)
    weights = _SIF / (_SIF + odds / odds.sum())
    return np.append(weights, 0).astype(np.float32)


def _lower(words: dict[str, int]) -> bool:
    """Whether to lowercase texts: almost all words are lower case."""
    return sum(word != word.lower() for word in words) < _MIN_CASED_SHARE * len(words)


def _pattern(words: dict[str, int]) -> str:
    """A pattern of words that both ``re`` and the tokenizer's library understand."""
    pieces = [piece for word, piece in _PIECES if word in words]
    return "|".join([*pieces, r"\w+", r"[^\w\s]"])


def _build_tokenizer(vocabulary: dict[str, int], unknown: int, pattern: str, *, lower: bool) -> Tokenizer:
    name = "[UNK]"
    while name in vocabulary:
        name = f"[{name}]"
    tokenizer = Tokenizer(models.WordLevel({**vocabulary, name: unknown}, unk_token=name))
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    # Inverted: matches are words, and what lies between them is removed.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return tokenizer


def _token_ids(
    vocabulary: dict[str, int], pattern: re.Pattern[str], lower: bool, unknown: int, text: str
) -> list[int]:
    return [vocabulary.get(word, unknown) for word in pattern.findall(text.lower() if lower else text)]
