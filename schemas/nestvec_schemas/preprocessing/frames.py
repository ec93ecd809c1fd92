"""Pictures in a sequence, such as the frames of a video: which of them are looked at, and how they are named.

One VARCHAR value names a sequence as a JSON list of addresses, ``["file:a.png", "file:b.png"]``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.errors import BodyInvalid, EmptyInput

Indices = NDArray[np.int64]
Pixels = NDArray[np.uint8]

FRAME_MASK: Final = "frame_mask"
"""The input of a graph that reads frames in their order: (frames,) int64, 1 where a frame is there."""

MAX_FRAMES: Final = 4096
"""Addresses that one value may hold."""

_EXAMPLE: Final = 'Name the pictures as a JSON list of addresses: ["file:a.png", "file:b.png"].'


def uniform_indices(total: int, count: int) -> Indices:
    """The middles of ``wanted`` equal parts of ``total`` frames, (wanted,) int64 that never fall (TSN, Wang
    et al. 2016).

    None is taken twice unless fewer frames are there than are wanted. Both are at least 1, else ValueError.
    """
    _check_positive(total, count)
    return (2 * np.arange(count, dtype=np.int64) + 1) * total // (2 * count)


def frame_indices(total: int, count: int, *, masked: bool) -> Indices:
    """Which of ``total`` frames are looked at: ``wanted`` of them by ``uniform``; by a graph that takes
    FRAME_MASK (``masked``) no frame twice, so that they may be fewer. Raises ValueError as ``uniform``."""
    return np.arange(total, dtype=np.int64) if masked and 0 < total < count else uniform_indices(total, count)


def pad_frames(frames: Sequence[Pixels], count: int) -> tuple[Pixels, Indices]:
    """Frames as one array of ``wanted``, black behind them, and 1 where one is there: (wanted, height, width,
    3) uint8 and (wanted,) int64."""
    levels = np.zeros((count, *frames[0].shape), np.uint8)
    levels[: len(frames)] = np.stack(frames)
    return levels, (np.arange(count) < len(frames)).astype(np.int64)


def clip_indices(total: int, length: int, stride: int) -> list[Indices]:
    """Runs of ``length`` frames that begin every ``stride`` (LRCN, Donahue et al. 2015: 16 and 8).

    Each is (length,) int64. They hold every frame where ``stride`` is at most ``length``: the last ends with
    the last frame, and begins earlier than its turn for that; of fewer frames than ``length`` the last is
    repeated. All are at least 1, else ValueError.
    """
    _check_positive(total, length, stride)
    latest = max(0, total - length)
    starts = [*range(0, latest, stride), latest]
    return [np.minimum(np.arange(start, start + length, dtype=np.int64), total - 1) for start in starts]


def read_sequence(value: str) -> tuple[str, ...]:
    """The addresses that a value names, in order: a JSON list of them, or the one that it is.

    Raises BodyInvalid where it is neither, or names more than MOST_FRAMES; EmptyInput where it names none.
    """
    text = value.strip()
    # No address begins with a bracket: its scheme begins with a letter.
    addresses = _parse_list(text) if text.startswith("[") else [text] if text else []
    if not addresses:
        raise EmptyInput("a sequence names no pictures", value=value, next_step=_EXAMPLE)
    if len(addresses) > MAX_FRAMES:
        raise BodyInvalid(
            "a sequence names too many pictures",
            value=len(addresses),
            next_step=f"Name {MAX_FRAMES} at most.",
        )
    for position, address in enumerate(addresses):
        if not isinstance(address, str) or not address.strip():
            raise BodyInvalid(
                f"picture {position} of a sequence is not an address", value=address, next_step=_EXAMPLE
            )
    return tuple(address.strip() for address in addresses)


def write_sequence(addresses: Sequence[str]) -> str:
    """The value that ``read_sequence`` reads as these addresses, trimmed; always a list."""
    return json.dumps(list(addresses), ensure_ascii=False, separators=(",", ":"))


def _parse_list(text: str) -> list[Any]:
    try:
        parsed = json.loads(text)
    except RecursionError as error:
        raise BodyInvalid("a sequence of pictures is nested", value=text, next_step=_EXAMPLE) from error
    except ValueError as error:
        raise BodyInvalid(
            f"a sequence of pictures is not JSON ({error})", value=text, next_step=_EXAMPLE
        ) from error
    return list(parsed)


def _check_positive(*counts: int) -> None:
    if min(counts) < 1:
        raise ValueError(f"frames are counted from 1, not as {counts}")
