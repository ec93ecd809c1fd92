"""Texts that a tiny checkpoint tells apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nestvec_exporters.train import TrainingData

_WORDS = ("wing shock heat flow gas plate cone jet lift drag wave sound film beam shell skin").split(" ")  # noqa: SIM905


@pytest.fixture(scope="session", autouse=True)
def _short_rotation() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nestvec_exporters.train.start._ROTATION_STEPS", 20)
        yield


@pytest.fixture(scope="session")
def texts() -> tuple[str, ...]:
    """300 different texts of a few sentences, about one of eight subjects each."""
    draw = np.random.default_rng(0)
    found = []
    for number in range(300):
        subject = _WORDS[2 * (number % 8) : 2 * (number % 8) + 2]
        sentences = [" ".join(draw.choice([*subject, *_WORDS], 5)) for _ in range(3)]
        found.append(f"{'. '.join(sentences)}. No {number}.")
    return tuple(found)


@pytest.fixture(scope="session")
def unlabelled(texts: tuple[str, ...]) -> TrainingData:
    """The texts alone."""
    return TrainingData("papers.txt", "texts", tuple((text,) for text in texts))


@pytest.fixture(scope="session")
def pairs(texts: tuple[str, ...]) -> TrainingData:
    """Each text's first sentence with it."""
    return TrainingData("papers.csv", "pairs", tuple((text.split(".")[0], text) for text in texts))
