from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nestvec_exporters.nesting.ladder import exit_ladder
from nestvec_exporters.train import AdaptOptions, Length
from nestvec_exporters.train.options import prefixes
from nestvec_schemas.errors import DimNotOffered, ExitNotOffered, NestvecError, TrainingFailed


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"dims": (0,)}, DimNotOffered),
        ({"exits": (0,)}, ExitNotOffered),
        ({"exits": (2, 2)}, ExitNotOffered),
        ({"batch": 2}, TrainingFailed),
        ({"max_tokens": 1}, TrainingFailed),
        ({"learning_rate": 0.0}, TrainingFailed),
        ({"resume": True, "force": True}, TrainingFailed),
    ],
)
def test_what_no_run_could_do_is_refused(given: dict[str, Any], error: type[NestvecError]) -> None:
    with pytest.raises(error):
        AdaptOptions("checkpoint", Path("to"), **given)


@pytest.mark.parametrize("given", [{"epochs": 1.0, "steps": 2}, {"steps": 0}, {"minutes": -1.0}])
def test_a_length_is_one_number_above_nothing(given: dict[str, Any]) -> None:
    with pytest.raises(TrainingFailed):
        Length(**given)


def test_steps_follow_from_epochs() -> None:
    assert Length().steps_of(10) == 30
    assert Length(epochs=0.5).steps_of(10) == 5
    assert Length(epochs=0.01).steps_of(10) == 1
    assert Length(steps=7).steps_of(10) == 7
    assert Length(minutes=7).steps_of(10) is None


def test_prefixes_end_with_the_whole_vector() -> None:
    assert prefixes(None, 384) == (384, 256, 128, 64, 32)
    assert prefixes(None, 64) == (64, 32)
    assert prefixes((16, 48), 64) == (64, 48, 16)
    with pytest.raises(DimNotOffered, match="1 to 64"):
        prefixes((128,), 64)


def test_exits_end_with_the_last_layer() -> None:
    assert exit_ladder((), 6) == (6,)
    assert exit_ladder((3, 6, 2), 6) == (6, 3, 2)
    with pytest.raises(ExitNotOffered, match="1 to 6"):
        exit_ladder((7,), 6)
