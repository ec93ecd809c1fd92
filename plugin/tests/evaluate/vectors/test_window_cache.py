"""Arrays kept window by window: made once, and again where what is there cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nestvec.evaluate.vectors.window_cache import WindowResult, cached_windows
from nestvec_schemas.errors import DatasetUnusable


class Maker:
    def __init__(self, fail_at: int = -1) -> None:
        self.made: list[list[int]] = []
        self.fail_at = fail_at

    def __call__(self, window: Sequence[int]) -> WindowResult:
        if len(self.made) == self.fail_at:
            raise KeyboardInterrupt
        self.made.append(list(window))
        return {"doubled": np.array(window) * 2}, 0.5


def all_of(folder: Path, make: Maker, resumed: list[int]) -> list[int]:
    made = cached_windows(folder, range(7), 3, make, resumed.append)
    assert sum(seconds for _, seconds in made) == 1.5
    return np.concatenate([arrays["doubled"] for arrays, _ in made]).tolist()


def test_an_interrupted_run_continues(tmp_path: Path) -> None:
    first, second, third = Maker(fail_at=2), Maker(), Maker()
    with pytest.raises(KeyboardInterrupt):
        all_of(tmp_path, first, [])
    resumed: list[int] = []
    assert all_of(tmp_path, second, resumed) == [0, 2, 4, 6, 8, 10, 12]
    assert (second.made, resumed) == ([[6]], [3, 3])
    assert all_of(tmp_path, third, []) == [0, 2, 4, 6, 8, 10, 12]
    assert third.made == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["000000.npz", "000001.npz", "000002.npz"]


@pytest.mark.parametrize("there", [b"", b"PK\x03\x04 cut off", b"no archive"])
def test_what_cannot_be_read_is_made_anew(tmp_path: Path, there: bytes) -> None:
    all_of(tmp_path, Maker(), [])
    (tmp_path / "000001.npz").write_bytes(there)
    make = Maker()
    assert all_of(tmp_path, make, []) == [0, 2, 4, 6, 8, 10, 12]
    assert make.made == [[3, 4, 5]]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetUnusable, match=r"cannot be cached.*with --cache"):
        all_of(tmp_path / "file", Maker(), [])
