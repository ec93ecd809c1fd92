from __future__ import annotations

import dataclasses
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import ByT5Tokenizer, CanineTokenizer

from nestvec_schemas.errors import ManifestCorrupt
from nestvec_schemas.preprocessing.byte_tokens import (
    UNIT_SCHEMES,
    CharacterToken,
    Ids,
    Side,
    UnitScheme,
    character_tokens,
    encode_units,
    split_units,
)

BYTES, CODEPOINTS = UNIT_SCHEMES["bytes"], UNIT_SCHEMES["codepoints"]
REFERENCES = {"bytes": ByT5Tokenizer(), "codepoints": CanineTokenizer()}
SPELLED_SPECIAL = ("</s>", "<pad>", "<unk>", "<extra_id_")

# characters() leaves out surrogates unless asked; joiners, marks and emoji are rare among the rest.
characters = st.characters(exclude_categories=()) | st.sampled_from(
    "aé\u0301\u200d\ufe0f\U0001f468\U0001f3fd\ud83d\n\0"
)
texts = st.text(characters, max_size=60)
writable = texts.map(lambda text: text.encode("utf-8", "ignore").decode("utf-8"))
schemes = st.sampled_from(list(UNIT_SCHEMES.values()))
sides = st.sampled_from(["right", "left"])


def inner(ids: Ids, scheme: UnitScheme) -> list[int]:
    """The ids without the special ones, which must stand around them."""
    first, last = len(scheme.before), len(ids) - len(scheme.after)
    assert (tuple(ids[:first]), tuple(ids[last:])) == (scheme.before, scheme.after)
    return ids[first:last].tolist()


def spelled_special(text: str) -> bool:
    return any(name in text for name in SPELLED_SPECIAL)


@given(
    text=writable.filter(lambda text: not spelled_special(text)), max_tokens=st.integers(2, 70), side=sides
)
@example(text="e\u0301 👩‍🔬 ", max_tokens=9, side="right")
def test_bytes_are_those_of_byt5(text: str, max_tokens: int, side: Side) -> None:
    ids, whole = encode_units(text, BYTES, max_tokens, side)
    reference = REFERENCES["bytes"]
    reference.truncation_side = side
    assert ids.tolist() == reference(text, truncation=True, max_length=max_tokens)["input_ids"]
    assert whole == len(reference(text)["input_ids"])


@given(text=texts, max_tokens=st.integers(3, 70), side=sides)
@example(text="\ud83d\ude00 \ue001 👩‍🔬", max_tokens=6, side="left")
def test_code_points_are_those_of_canine(text: str, max_tokens: int, side: Side) -> None:
    ids, whole = encode_units(text, CODEPOINTS, max_tokens, side)
    reference = REFERENCES["codepoints"]
    reference.truncation_side = side
    assert ids.tolist() == reference(text, truncation=True, max_length=max_tokens)["input_ids"]
    assert whole == len(reference(text)["input_ids"])


@pytest.mark.parametrize("name", list(UNIT_SCHEMES))
def test_the_rows_say_what_the_references_do(name: str) -> None:
    scheme, reference = UNIT_SCHEMES[name], REFERENCES[name]
    assert scheme.name == name
    assert scheme.vocabulary == len(reference)
    assert scheme.pad == reference.pad_token_id


def test_a_special_token_that_a_text_spells_is_text() -> None:
    ids, _ = encode_units("</s>", BYTES, 10)
    assert ids.tolist() == [63, 50, 118, 65, 1]


@given(writable)
def test_bytes_make_the_text_again(text: str) -> None:
    ids, whole = encode_units(text, BYTES, 1000)
    assert bytes(one - 3 for one in inner(ids, BYTES)).decode("utf-8") == text
    assert whole == len(ids)


@given(texts)
def test_code_points_make_the_text_again(text: str) -> None:
    ids, whole = encode_units(text, CODEPOINTS, 1000)
    assert "".join(map(chr, inner(ids, CODEPOINTS))) == text
    assert whole == len(ids)


@given(texts, schemes, st.integers(3, 80), sides)
def test_what_is_cut_is_an_end_of_the_whole(
    text: str, scheme: UnitScheme, max_tokens: int, side: Side
) -> None:
    every = inner(encode_units(text, scheme, 1000)[0], scheme)
    ids, whole = encode_units(text, scheme, max_tokens, side)
    kept = inner(ids, scheme)
    assert ids.dtype == np.int64
    assert whole == len(every) + scheme.special
    assert len(ids) == min(whole, max_tokens)
    assert kept == (every[: len(kept)] if side == "right" else every[len(every) - len(kept) :])
    assert all(0 <= one < scheme.vocabulary for one in kept)


@given(texts, schemes, st.integers(3, 20))
def test_the_chunks_are_the_whole(text: str, scheme: UnitScheme, max_tokens: int) -> None:
    chunks = split_units(text, scheme, max_tokens)
    assert [one for ids in chunks for one in inner(ids, scheme)] == inner(
        encode_units(text, scheme, 1000)[0], scheme
    )
    assert all(len(ids) == max_tokens for ids in chunks[:-1])
    assert scheme.special < len(chunks[-1]) <= max_tokens or text == ""


@pytest.mark.parametrize(("name", "ids"), [("bytes", [1]), ("codepoints", [0xE000, 0xE001])])
def test_a_text_of_nothing_is_special_tokens(name: str, ids: list[int]) -> None:
    assert encode_units("", UNIT_SCHEMES[name], 8)[0].tolist() == ids
    assert [one.tolist() for one in split_units("", UNIT_SCHEMES[name], 8)] == [ids]


@given(texts, schemes)
def test_the_spelled_ids_are_the_encoded_ones(text: str, scheme: UnitScheme) -> None:
    rows = character_tokens(text, scheme)
    assert [row.id for row in rows] == encode_units(text, scheme, 1000)[0].tolist()
    assert [row for row in rows if not row.special] == character_tokens(text, scheme, special=False)
    shown = text.encode("utf-8", "replace").decode("utf-8")
    assert all(row.text == shown[row.start : row.stop] for row in rows if not row.special)


def test_every_byte_of_a_character_carries_it() -> None:
    assert character_tokens("aé", BYTES) == [
        CharacterToken(100, "a", False, 0, 1),
        CharacterToken(198, "é", False, 1, 2),
        CharacterToken(172, "é", False, 1, 2),
        CharacterToken(1, "</s>", True, None, None),
    ]


def test_half_of_a_surrogate_pair() -> None:
    assert character_tokens("\ud800", BYTES, special=False) == [
        CharacterToken(ord("?") + 3, "?", False, 0, 1)
    ]
    assert character_tokens("\ud800", CODEPOINTS) == [
        CharacterToken(0xE000, "[CLS]", True, None, None),
        CharacterToken(0xD800, "?", False, 0, 1),
        CharacterToken(0xE001, "[SEP]", True, None, None),
    ]


def test_nothing_is_normalised() -> None:
    composed, apart = "é", unicodedata.normalize("NFD", "é")
    for scheme in UNIT_SCHEMES.values():
        assert encode_units(composed, scheme, 9)[0].tolist() != encode_units(apart, scheme, 9)[0].tolist()


@pytest.mark.parametrize(("name", "most"), [("bytes", 1), ("codepoints", 2)])
def test_no_room_for_text_is_told(name: str, most: int) -> None:
    for function in (encode_units, split_units):
        with pytest.raises(
            ManifestCorrupt, match=rf"no room for text.*: {most}\. .*{most + 1} tokens or more"
        ):
            function("a", UNIT_SCHEMES[name], most)
    assert len(encode_units("abc", UNIT_SCHEMES[name], most + 1)[0]) == most + 1


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BYTES.offset = 0  # type: ignore[misc]
