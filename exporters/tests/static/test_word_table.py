from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_exporters.static.table import EmbeddingTable
from nestvec_exporters.static.word_table import word_table
from nestvec_exporters.static.word_vector_files import WordVectors
from nestvec_schemas.errors import EncoderError

TREEBANK = [
    "the",
    "dog",
    "'s",
    "n't",
    "do",
    "0.5",
    "...",
    ".",
    ",",
    "3.14",
    "well",
    "-",
    "known",
    "café",
    "東京",
]


def made(words: list[str], pooling: str | None = None) -> EmbeddingTable:
    rows = {word: number for number, word in enumerate(words)}
    return word_table(WordVectors(2, "words", np.ones((len(words) + 1, 2), np.float32), rows), pooling)


def tokens(words: list[str], text: str) -> list[str]:
    tokenizer = made(words).tokenizer
    return list(tokenizer.encode(text).tokens)


def test_texts_are_split_as_the_words_were() -> None:
    assert tokens(TREEBANK, "The dog's Café don't: 3.14 well-known...") == [
        *("the", "dog", "'s", "café", "do", "n't", "[UNK]", "3.14", "well", "-", "known", "..."),
    ]
    assert tokens(["the", "dog", "s", "3", "14"], "dog's 3.14") == ["dog", "[UNK]", "s", "3", "[UNK]", "14"]


def test_capitals_count_where_words_have_them() -> None:
    assert tokens(["The", "the", "Dog"], "The DOG Dog") == ["The", "[UNK]", "Dog"]
    assert tokens(["the", "dog"], "The DOG Dog") == ["the", "dog", "dog"]


def test_a_word_that_is_called_unknown_stays_a_word() -> None:
    table = made(["[UNK]", "a"])
    assert table.lookup.unknown == 2
    assert [*table.tokenizer.encode("a b").ids] == [1, 2]


@given(st.text())
def test_the_tokenizer_reads_as_pythons_expressions_do(text: str) -> None:
    table = made(TREEBANK)
    known = [one for one in table.reference_ids(text) if one != table.lookup.unknown]
    assert [one for one in table.tokenizer.encode(text).ids if one != table.lookup.unknown] == known


def test_rare_words_weigh_more() -> None:
    table = made([f"word{number}" for number in range(1000)], "sif")
    assert table.lookup.weights is not None and table.pooling == "sif"
    assert (np.diff(table.lookup.weights[:-1]) > 0).all() and table.lookup.weights[-1] == 0
    assert made(["a"]).lookup.weights is None
    with pytest.raises(EncoderError, match="do not support this pooling: zipf"):
        made(["a"], "zipf")


def test_senses_are_rows_of_one_word() -> None:
    table = made(["bank#1", "the", "bank#2", "c#1", "sharp#2", "bank#3"])
    assert table.has_senses and table.lookup.rows is not None
    assert table.tokenizer.get_vocab() == {"bank": 0, "the": 1, "c#1": 2, "sharp#2": 3, "[UNK]": 4}
    assert table.lookup.rows.tolist() == [[0, 2, 5], [1, -1, -1], [3, -1, -1], [4, -1, -1], [6, -1, -1]]


def test_words_beside_their_own_numbers_are_no_senses() -> None:
    assert not made(["bank", "bank#1", "bank#2"]).has_senses
