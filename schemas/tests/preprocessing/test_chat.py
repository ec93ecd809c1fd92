from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nestvec_schemas.errors import InputTooLong
from nestvec_schemas.preprocessing.chat import ChatLayout, RenderedMessage, render_message, truncate_message
from nestvec_schemas.preprocessing.collate import pad_rows

CHAT = ChatLayout(pictured="<u><pic>{text}<a>", alone="<u>{text}<a>", placeholder="<pic>", token=7, count=3)


def test_a_picture_stands_as_often_as_it_has_tokens() -> None:
    assert render_message(CHAT, "a cat", pictured=True).text == "<u><pic><pic><pic>a cat<a>"
    assert render_message(CHAT, "a cat", pictured=False).text == "<u>a cat<a>"


def test_the_instruction_is_no_part_of_what_is_cut() -> None:
    message = render_message(CHAT, "a cat", pictured=True, instruction="Find: ")
    assert message.text[message.start : message.stop] == "a cat"
    assert message.text[: message.start].endswith("Find: ")


@given(text=st.text(alphabet="<pic>{text} a", max_size=40), pictured=st.booleans())
def test_no_text_brings_a_picture(text: str, pictured: bool) -> None:
    message = render_message(CHAT, text, pictured=pictured, instruction=text)
    assert message.text.count("<pic>") == 3 * pictured
    assert message.text.replace(" ", "").startswith("<u>" + "<pic>" * 3 * pictured)


@pytest.mark.parametrize(
    ("pictured", "alone"),
    [
        ("{text}", "{text}"),
        ("<pic>", "{text}"),
        ("<pic>{text}", "<pic>{text}"),
        ("<pic><pic>{text}", "{text}"),
    ],
)
def test_layouts_without_their_slots_are_refused(pictured: str, alone: str) -> None:
    with pytest.raises(ValidationError, match="must have"):
        ChatLayout(pictured=pictured, alone=alone, placeholder="<pic>", token=7, count=1)


@given(
    before=st.integers(0, 5),
    inside=st.integers(0, 9),
    after=st.integers(0, 5),
    most=st.integers(1, 20),
    side=st.sampled_from(["right", "left"]),
)
def test_a_text_is_cut_and_its_layout_is_not(
    before: int, inside: int, after: int, most: int, side: str
) -> None:
    count = before + inside + after
    ids = np.arange(count, dtype=np.int64)
    offsets = np.stack([ids, ids + 1], axis=1)
    message = RenderedMessage("x" * count, before, before + inside)
    way = "right" if side == "right" else "left"
    if before + after > most:
        with pytest.raises(InputTooLong, match="have more tokens"):
            truncate_message(ids, offsets, message, most, way)
        return
    kept = truncate_message(ids, offsets, message, most, way)
    room = min(inside, most - before - after)
    text = range(before, before + room) if side == "right" else range(before + inside - room, before + inside)
    assert kept.tolist() == [*range(before), *text, *range(before + inside, count)]


def test_rows_without_a_picture_stand_beside_some_with_one() -> None:
    rows = [
        {"input_ids": np.array([1, 2]), "pixels": np.zeros((1, 1, 3), np.uint8)},
        {"input_ids": np.array([3]), "pixels": np.full((4, 5, 3), 9, np.uint8)},
    ]
    batch = pad_rows(rows)
    assert batch["pixels"].shape == (2, 4, 5, 3)
    assert not batch["pixels"][0].any() and (batch["pixels"][1] == 9).all()
    assert pad_rows(rows[:1])["pixels"].shape == (1, 1, 1, 3)
