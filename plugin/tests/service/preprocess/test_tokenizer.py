from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec.service.preprocess.tokenizer import MAX_CHARACTERS_READ, EncoderTokenizer, Token
from nestvec_schemas.errors import ManifestCorrupt
from nestvec_schemas.preprocessing.pair_template import PairTemplate
from nestvec_schemas.repository import TOKENIZER

EXAMPLES = int(os.environ.get("NESTVEC_EXAMPLES", "20"))
"""Long texts; ``make nightly`` tries more."""


@pytest.fixture
def tokenizer(models_folder: Path) -> EncoderTokenizer:
    return EncoderTokenizer(models_folder / "tiny" / TOKENIZER, 8)


def test_a_short_text_is_whole(tokenizer: EncoderTokenizer) -> None:
    (tokens,) = tokenizer.encode(["w0 w1"])
    assert tokens.ids.tolist() == [2, 4, 5, 3]
    assert not tokens.truncated


@pytest.mark.parametrize(("direction", "kept"), [("right", range(6)), ("left", range(14, 20))])
def test_a_long_text_is_cut_on_the_side_that_was_asked(
    tokenizer: EncoderTokenizer, direction: str, kept: range
) -> None:
    (tokens,) = tokenizer.encode([" ".join(f"w{n}" for n in range(20))], direction)  # type: ignore[arg-type]
    assert tokens.ids.tolist() == [2, *(4 + n for n in kept), 3]
    assert tokens.total == 22
    assert tokens.truncated


def test_a_word_is_not_split_where_reading_stops(models_folder: Path) -> None:
    """A word of the vocabulary behind more white space than a few tokens would need."""
    short = EncoderTokenizer(models_folder / "tiny" / TOKENIZER, 4)
    for spaces in (64 * 4 - 1, 64 * 4, 1000):
        (tokens,) = short.encode([" " * spaces + "w12 w3"])
        assert tokens.ids.tolist() == [2, 16, 7, 3]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=st.text(st.characters(), max_size=50))
def test_any_text_that_json_can_carry_is_encoded(tokenizer: EncoderTokenizer, text: str) -> None:
    (tokens,) = tokenizer.encode([text])
    assert 2 <= len(tokens.ids) <= 8


parts = st.lists(st.sampled_from(["w1 ", "w22 ", "ü ", " " * 700, "a" * 700, "w3 w4 " * 150]), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=EXAMPLES)
@given(parts=parts)
@pytest.mark.parametrize("direction", ["right", "left"])
def test_a_text_far_too_long_has_the_tokens_that_it_would_have_whole(
    tokenizer: EncoderTokenizer, direction: str, parts: list[str]
) -> None:
    text = "".join(parts)
    (all_of_it,) = tokenizer.tokenize([text], special=False)
    ids = [token.id for token in all_of_it]
    (tokens,) = tokenizer.encode([text], direction)  # type: ignore[arg-type]
    assert tokens.ids.tolist() == [2, *(ids[:6] if direction == "right" else ids[-6:]), 3]
    assert tokens.truncated == (len(ids) > 6)
    (pieces,) = tokenizer.chunk([text])
    assert [one for row in pieces.ids for one in row.tolist()[1:-1]] == ids


@pytest.mark.parametrize(("direction", "kept"), [("right", 5), ("left", 6)])
def test_a_text_longer_than_is_read_counts_as_cut(
    tokenizer: EncoderTokenizer, direction: str, kept: int
) -> None:
    text = "w1" + " " * (MAX_CHARACTERS_READ + 1) + "w2"
    (tokens,) = tokenizer.encode([text], direction)  # type: ignore[arg-type]
    assert tokens.ids.tolist() == [2, kept, 3]
    assert tokens.total > 8


def test_texts_of_many_turns_stay_in_order(tokenizer: EncoderTokenizer) -> None:
    texts = [f"w{n}" + " " * (MAX_CHARACTERS_READ // 3) for n in range(8)]
    assert [tokens.ids.tolist() for tokens in tokenizer.encode(texts)] == [[2, 4 + n, 3] for n in range(8)]
    assert [one.ids[0].tolist() for one in tokenizer.chunk(texts)] == [[2, 4 + n, 3] for n in range(8)]


def test_ids_of_the_client_are_cut_alike(tokenizer: EncoderTokenizer) -> None:
    assert tokenizer.truncate(range(20)).ids.tolist() == list(range(8))
    assert tokenizer.truncate(range(20), "left").ids.tolist() == list(range(12, 20))


def test_all_of_a_long_text_is_in_its_pieces(tokenizer: EncoderTokenizer) -> None:
    (pieces,) = tokenizer.chunk([" ".join(f"w{n}" for n in range(20))])
    assert [ids.tolist()[1:-1] for ids in pieces.ids] == [
        [4 + n for n in range(first, min(first + 6, 20))] for first in (0, 6, 12, 18)
    ]
    assert all((ids[0], ids[-1]) == (2, 3) for ids in pieces.ids)
    assert pieces.weights == (6, 6, 6, 2)


@pytest.mark.parametrize(("count", "lengths"), [(0, (0,)), (8, (8,)), (20, (8, 8, 4))])
def test_ids_of_the_client_are_split_as_they_are(
    tokenizer: EncoderTokenizer, count: int, lengths: tuple[int, ...]
) -> None:
    pieces = tokenizer.chunk_ids(range(count))
    assert [one for ids in pieces.ids for one in ids.tolist()] == list(range(count))
    assert pieces.weights == lengths


def test_every_token_is_spelled_with_its_characters(tokenizer: EncoderTokenizer) -> None:
    (tokens,) = tokenizer.tokenize([" ".join(f"w{n}" for n in range(20))])
    assert len(tokens) == 22
    assert tokens[0] == Token(2, "[CLS]", True, None, None)
    assert tokens[12] == Token(15, "w11", False, 34, 37)


def test_positions_are_in_characters_and_special_tokens_may_stay_away(tokenizer: EncoderTokenizer) -> None:
    (tokens,) = tokenizer.tokenize(["größe w1 \ud800"], special=False)
    assert tokens == [
        Token(1, "größe", False, 0, 5),
        Token(5, "w1", False, 6, 8),
        Token(1, "?", False, 9, 10),
    ]


def test_a_file_that_is_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / TOKENIZER).write_text("{}")
    with pytest.raises(ManifestCorrupt, match=r"is not a tokenizer.*Export the encoder again"):
        EncoderTokenizer(tmp_path / TOKENIZER, 8)


TEMPLATE = PairTemplate(prefix="w1 ", between=" w2 ", suffix=" w3", ending=(7,))


@pytest.mark.parametrize(
    ("direction", "ids"),
    [("right", [5, 10, 6, 11, 12, 13, 14, 7]), ("left", [5, 10, 6, 15, 16, 17, 18, 7])],
)
def test_a_pair_is_one_text_of_its_template_and_keeps_its_end(
    tokenizer: EncoderTokenizer, direction: str, ids: list[int]
) -> None:
    document = " ".join(f"w{n}" for n in range(7, 15))
    (pair,) = tokenizer.encode_pairs([("w6", document)], direction, TEMPLATE)  # type: ignore[arg-type]
    assert (pair.ids.tolist(), pair.total) == (ids, 12)
    (short,) = tokenizer.encode_pairs([("w6", "w7")], template=TEMPLATE)
    assert short.ids.tolist() == [5, 10, 6, 11, 7]


def test_an_instruction_stands_before_the_query(tokenizer: EncoderTokenizer) -> None:
    plain = tokenizer.encode_pairs([("w1 w2", "w3")])
    prompted = tokenizer.encode_pairs([("w2", "w3")], template=PairTemplate(prefix="w1 "))
    assert prompted[0].ids.tolist() == plain[0].ids.tolist()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=EXAMPLES)
@given(query=parts, document=parts)
@pytest.mark.parametrize("direction", ["right", "left"])
def test_a_pair_far_too_long_has_the_tokens_that_it_would_have_whole(
    tokenizer: EncoderTokenizer, direction: str, query: list[str], document: list[str]
) -> None:
    texts = "".join(query), "".join(document)
    (pair,) = tokenizer.encode_pairs([texts], direction)  # type: ignore[arg-type]
    whole = tokenizer._truncating_pairs[direction].encode(*texts)
    assert pair.ids.tolist() == whole.ids
