from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nestvec_exporters.nesting.ladder import exit_ladder
from nestvec_exporters.train import AdaptOptions, Hyperparameters, RunOutput, TrainingLength
from nestvec_exporters.train.options import training_dims
from nestvec_schemas.errors import DimNotOffered, ExitNotOffered, NestvecError, TrainingFailed


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dims": (0,)}, DimNotOffered),
        ({"exits": (0,)}, ExitNotOffered),
        ({"exits": (2, 2)}, ExitNotOffered),
    ],
)
def test_impossible_dims_and_exits_are_refused(options: dict[str, Any], error: type[NestvecError]) -> None:
    with pytest.raises(error):
        AdaptOptions("checkpoint", RunOutput(Path("to")), **options)


@pytest.mark.parametrize("values", [{"batch": 2}, {"max_tokens": 1}, {"learning_rate": 0.0}])
def test_hyperparameters_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(TrainingFailed):
        Hyperparameters(**values)


def test_a_run_is_either_resumed_or_discarded() -> None:
    with pytest.raises(TrainingFailed):
        RunOutput(Path("to"), resume=True, force=True)


@pytest.mark.parametrize("given", [{"epochs": 1.0, "steps": 2}, {"steps": 0}, {"minutes": -1.0}])
def test_a_length_is_one_number_above_nothing(given: dict[str, Any]) -> None:
    with pytest.raises(TrainingFailed):
        TrainingLength(**given)


def test_steps_follow_from_epochs() -> None:
    assert TrainingLength().steps_of(10) == 30
    assert TrainingLength(epochs=0.5).steps_of(10) == 5
    assert TrainingLength(epochs=0.01).steps_of(10) == 1
    assert TrainingLength(steps=7).steps_of(10) == 7
    assert TrainingLength(minutes=7).steps_of(10) is None


def test_prefixes_end_with_the_whole_vector() -> None:
    assert training_dims(None, 384) == (384, 256, 128, 64, 32)
    assert training_dims(None, 64) == (64, 32)
    assert training_dims((16, 48), 64) == (64, 48, 16)
    with pytest.raises(DimNotOffered, match="1 to 64"):
        training_dims((128,), 64)


def test_exits_end_with_the_last_layer() -> None:
    assert exit_ladder((), 6) == (6,)
    assert exit_ladder((3, 6, 2), 6) == (6, 3, 2)
    with pytest.raises(ExitNotOffered, match="1 to 6"):
        exit_ladder((7,), 6)
