from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_schemas.errors import BodyInvalid, EmptyInput
from nestvec_schemas.preprocessing.frames import (
    MAX_FRAMES,
    clip_indices,
    frame_indices,
    pad_frames,
    read_sequence,
    uniform_indices,
    write_sequence,
)

counts = st.integers(1, 300)
words = st.text(st.characters(), min_size=1).map(str.strip).filter(bool)


@pytest.mark.parametrize(
    ("total", "wanted", "chosen"),
    [(9, 3, [1, 4, 7]), (10, 1, [5]), (4, 4, [0, 1, 2, 3]), (8, 4, [1, 3, 5, 7]), (2, 4, [0, 0, 1, 1])],
)
def test_the_middle_of_each_part_is_chosen(total: int, wanted: int, chosen: list[int]) -> None:
    assert uniform_indices(total, wanted).tolist() == chosen


@given(counts, counts)
def test_chosen_frames_are_there_in_order_one_in_each_part(total: int, wanted: int) -> None:
    chosen = uniform_indices(total, wanted)
    assert (chosen.shape, chosen.dtype) == ((wanted,), np.int64)
    parts = np.arange(wanted + 1) * total / wanted
    assert ((parts[:-1] < chosen + 1) & (chosen < parts[1:])).all()
    steps = np.diff(chosen)
    assert (steps >= (1 if wanted <= total else 0)).all()
    if len(steps):
        assert steps.max() - steps.min() <= 1


def test_who_reads_fewer_frames_gets_none_twice() -> None:
    assert frame_indices(2, 4, masked=True).tolist() == [0, 1]
    assert frame_indices(2, 4, masked=False).tolist() == [0, 0, 1, 1]
    assert frame_indices(9, 3, masked=True).tolist() == [1, 4, 7]
    with pytest.raises(ValueError, match="must be at least 1"):
        frame_indices(0, 4, masked=True)


def test_missing_frames_are_black_and_said_to_be_missing() -> None:
    white = np.full((2, 3, 3), 255, np.uint8)
    levels, there = pad_frames([white, white], 3)
    assert (levels.shape, levels.dtype, there.dtype) == ((3, 2, 3, 3), np.uint8, np.int64)
    assert levels.mean(axis=(1, 2, 3)).tolist() == [255, 255, 0]
    assert there.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("total", "starts"), [(16, [0]), (24, [0, 8]), (25, [0, 8, 9]), (40, [0, 8, 16, 24]), (17, [0, 1])]
)
def test_clips_begin_every_stride(total: int, starts: list[int]) -> None:
    assert [one.tolist() for one in clip_indices(total, 16, 8)] == [
        list(range(one, one + 16)) for one in starts
    ]


def test_of_too_few_frames_the_last_is_repeated() -> None:
    assert [one.tolist() for one in clip_indices(3, 5, 2)] == [[0, 1, 2, 2, 2]]


@given(counts, st.integers(1, 40), st.integers(1, 40))
def test_clips_have_one_length_and_hold_every_frame(total: int, length: int, stride: int) -> None:
    chosen = clip_indices(total, length, min(stride, length))
    assert all((one.shape, one.dtype) == ((length,), np.int64) for one in chosen)
    assert {int(frame) for one in chosen for frame in one} == set(range(total))
    starts = [one[0] for one in chosen]
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("wrong", [(0, 1), (1, 0), (-1, 1)])
def test_no_frames_cannot_be_chosen_from(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        uniform_indices(*wrong)
    with pytest.raises(ValueError, match="must be at least 1"):
        clip_indices(*wrong, 1)


@given(st.lists(words, min_size=1, max_size=5))
def test_what_was_written_is_read(addresses: list[str]) -> None:
    assert read_sequence(write_sequence(addresses)) == tuple(addresses)


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        (' [ "file:a.png" ,\n"https://x/b.png"] ', ("file:a.png", "https://x/b.png")),
        ('["data:image/png;base64,AA==", "data:image/png;base64,AA=="]', ("data:image/png;base64,AA==",) * 2),
        (" file:a[1].png\n", ("file:a[1].png",)),
    ],
)
def test_a_value_names_one_picture_or_a_list(value: str, addresses: tuple[str, ...]) -> None:
    assert read_sequence(value) == addresses


@pytest.mark.parametrize("value", ["", " \n", "[]", "[ ]"])
def test_a_value_that_names_nothing(value: str) -> None:
    with pytest.raises(EmptyInput, match=r"(?s)names no images.*JSON list of addresses"):
        read_sequence(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('["a", 7]', r"image 1 of a sequence is not an address: 7\. Name the images as a JSON list"),
        ('["a", null]', "image 1 of a sequence is not an address: None"),
        ('[" "]', "image 0 of a sequence is not an address"),
        ('[["a"]]', r"image 0 of a sequence is not an address: \['a'\]"),
        ('["a", ', r"not JSON \(Expecting value: line 1 column 6 .*Name the images"),
        ("['a']", "not JSON"),
        ('["a"] tail', r"not JSON \(Extra data"),
        ("[" * 200_000, r"nested too deeply: \[\[\["),
        ("[" + "9" * 10_000 + "]", "not JSON"),
        ("[" + ",".join(['"a"'] * (MAX_FRAMES + 1)) + "]", "too many images: 4097. Name at most 4096"),
    ],
)
def test_a_value_that_is_neither_is_told_so(value: str, told: str) -> None:
    with pytest.raises(BodyInvalid, match=told) as refused:
        read_sequence(value)
    assert len(str(refused.value)) < 500
