from __future__ import annotations

import inspect
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.service.preprocess.byte_tokenizer import ByteTokenizer
from nestvec.service.preprocess.tokenizer import EncoderTokenizer, Token
from nestvec_schemas.errors import ManifestCorrupt
from nestvec_schemas.preprocessing.byte_tokens import UNIT_SCHEMES, UnitScheme

schemes = pytest.mark.parametrize("scheme", list(UNIT_SCHEMES.values()), ids=list(UNIT_SCHEMES))


def surface(kind: type) -> dict[str, inspect.Signature]:
    """The signatures of what a class offers, beside its constructor."""
    offered: dict[str, Callable[..., object]] = {
        name: one for name, one in vars(kind).items() if inspect.isfunction(one)
    }
    return {
        name: inspect.signature(one)
        for name, one in offered.items()
        if not name.startswith("_") or name == "__len__"
    }


def test_it_offers_what_the_other_tokenizer_does() -> None:
    offered = surface(EncoderTokenizer)
    # Neither cross-encoders nor chat models read bytes.
    del offered["encode_pairs"], offered["encode_with_offsets"]
    assert surface(ByteTokenizer) == offered
    assert ByteTokenizer(UNIT_SCHEMES["bytes"], 8).max_tokens == 8


@pytest.mark.parametrize(("direction", "kept"), [("right", "abcdef"), ("left", "efghij")])
def test_a_long_text_is_cut_on_the_side_that_was_asked(direction: str, kept: str) -> None:
    short, long = ByteTokenizer(UNIT_SCHEMES["codepoints"], 8).encode(["ab", "abcdefghij"], direction)  # type: ignore[arg-type]
    assert short.ids.tolist() == [0xE000, 97, 98, 0xE001]
    assert not short.truncated
    assert long.ids.tolist() == [0xE000, *map(ord, kept), 0xE001]
    assert (long.total, long.truncated) == (12, True)


@schemes
def test_pieces_hold_all_of_a_text_and_weigh_its_own_tokens(scheme: UnitScheme) -> None:
    empty, long = ByteTokenizer(scheme, 4 + scheme.special).chunk(["", "abcdefghij"])
    assert empty.weights == (1,)
    assert long.weights == (4, 4, 2)
    first, last = len(scheme.before), -len(scheme.after)
    text = "".join(chr(one - scheme.offset) for ids in long.ids for one in ids[first:last].tolist())
    assert text == "abcdefghij"


def test_ids_of_the_client_stay_as_they_are() -> None:
    tokenizer = ByteTokenizer(UNIT_SCHEMES["bytes"], 8)
    assert tokenizer.truncate(range(20)).ids.tolist() == list(range(8))
    assert tokenizer.truncate(range(20), "left").ids.tolist() == list(range(12, 20))
    assert tokenizer.chunk_ids(range(20)).weights == (8, 8, 4)
    assert tokenizer.chunk_ids([]).weights == (0,)


@schemes
@given(text=st.text(st.characters(exclude_categories=()), max_size=30))
def test_every_token_can_be_answered_with(scheme: UnitScheme, text: str) -> None:
    tokenizer = ByteTokenizer(scheme, 16)
    (rows,) = tokenizer.tokenize([text], special=False)
    assert all(isinstance(row, Token) and 0 <= row.id < len(tokenizer) for row in rows)
    assert orjson.loads(orjson.dumps([row.text for row in rows])) == [row.text for row in rows]
    (whole,) = tokenizer.encode([text])
    assert whole.total == len(tokenizer.tokenize([text])[0])


def test_no_room_for_text_is_told_when_it_is_opened() -> None:
    with pytest.raises(ManifestCorrupt, match="Export it again with 3 tokens or more"):
        ByteTokenizer(UNIT_SCHEMES["codepoints"], 2)
