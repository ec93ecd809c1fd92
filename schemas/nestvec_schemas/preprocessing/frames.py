"""Images in a sequence, such as the frames of a video: which of them are read, and how a value names them.

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
"""The input of a graph that reads frames in order: (frames,) int64, 1 for a frame and 0 for padding."""

MAX_FRAMES: Final = 4096
"""Addresses in one value."""

_EXAMPLE: Final = 'Name the images as a JSON list of addresses: ["file:a.png", "file:b.png"].'


def uniform_indices(total: int, count: int) -> Indices:
    """The middles of ``count`` equal parts of ``total`` frames, (count,) int64, ascending (TSN, Wang et al.
    2016).

    No frame is repeated unless ``total`` is less than ``count``. Raises ValueError unless both are at least
    1.
    """
    _check_positive(total, count)
    return (2 * np.arange(count, dtype=np.int64) + 1) * total // (2 * count)


def frame_indices(total: int, count: int, *, masked: bool) -> Indices:
    """Which of ``total`` frames are read: ``count`` of them by ``uniform_indices``; fewer, with no frame
    repeated, where the graph takes FRAME_MASK (``masked``). Raises ValueError as ``uniform_indices``
    does."""
    return np.arange(total, dtype=np.int64) if masked and 0 < total < count else uniform_indices(total, count)


def pad_frames(frames: Sequence[Pixels], count: int) -> tuple[Pixels, Indices]:
    """Frames padded to ``count`` with black ones, and the frame mask: (count, height, width, 3) uint8 and
    (count,) int64."""
    levels = np.zeros((count, *frames[0].shape), np.uint8)
    levels[: len(frames)] = np.stack(frames)
    return levels, (np.arange(count) < len(frames)).astype(np.int64)


def clip_indices(total: int, length: int, stride: int) -> list[Indices]:
    """Runs of ``length`` frames that begin every ``stride`` (LRCN, Donahue et al. 2015: 16 and 8).

    Each is (length,) int64. The last run ends with the last frame, for which it may begin earlier than its
    turn, so that the runs contain every frame if ``stride`` is at most ``length``. The last frame is
    repeated if there are fewer than ``length``. Raises ValueError unless all arguments are at least 1.
    """
    _check_positive(total, length, stride)
    latest = max(0, total - length)
    starts = [*range(0, latest, stride), latest]
    return [np.minimum(np.arange(start, start + length, dtype=np.int64), total - 1) for start in starts]


def read_sequence(value: str) -> tuple[str, ...]:
    """The addresses that a value names, in order: those of a JSON list, or the value itself.

    Raises BodyInvalid if it is neither, or names more than MAX_FRAMES; EmptyInput if it names none.
    """
    text = value.strip()
    # No address begins with a bracket: its scheme begins with a letter.
    addresses = _parse_list(text) if text.startswith("[") else [text] if text else []
    if not addresses:
        raise EmptyInput("a sequence names no images", value=value, next_step=_EXAMPLE)
    if len(addresses) > MAX_FRAMES:
        raise BodyInvalid(
            "a sequence names too many images",
            value=len(addresses),
            next_step=f"Name at most {MAX_FRAMES}.",
        )
    for position, address in enumerate(addresses):
        if not isinstance(address, str) or not address.strip():
            raise BodyInvalid(
                f"image {position} of a sequence is not an address", value=address, next_step=_EXAMPLE
            )
    return tuple(address.strip() for address in addresses)


def write_sequence(addresses: Sequence[str]) -> str:
    """The value, always a list, that ``read_sequence`` reads as these addresses."""
    return json.dumps(list(addresses), ensure_ascii=False, separators=(",", ":"))


def _parse_list(text: str) -> list[Any]:
    try:
        parsed = json.loads(text)
    except RecursionError as error:
        raise BodyInvalid(
            "a sequence of images is nested too deeply", value=text, next_step=_EXAMPLE
        ) from error
    except ValueError as error:
        raise BodyInvalid(
            f"a sequence of images is not JSON ({error})", value=text, next_step=_EXAMPLE
        ) from error
    return list(parsed)


def _check_positive(*counts: int) -> None:
    if min(counts) < 1:
        raise ValueError(f"numbers of frames must be at least 1, not {counts}")
