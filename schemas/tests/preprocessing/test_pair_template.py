from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from nestvec_schemas.preprocessing.pair_template import PairTemplate, render_pair, truncate_pair

TEMPLATE = PairTemplate(prefix="<q>", between="</q><d>", suffix="</d>yes?", ending=(8, 9))
IDS = np.arange(10)
STARTS = np.arange(0, 20, 2)


def test_a_pair_is_one_text() -> None:
    rendered = render_pair(TEMPLATE, "who", "me")
    assert rendered.text == "<q>who</q><d>me</d>yes?"
    assert rendered.text[rendered.document :].startswith("me")


@pytest.mark.parametrize(
    ("side", "most", "kept"),
    [
        ("right", 10, [*range(10)]),
        ("right", 7, [0, 1, 2, 3, 4, 8, 9]),
        ("left", 7, [0, 1, 2, 6, 7, 8, 9]),
        ("left", 4, [0, 1, 8, 9]),  # no room for the document: as on the right
        ("right", 1, [9]),
    ],
)
def test_what_ends_a_pair_is_kept(side: str, most: int, kept: list[int]) -> None:
    ids = truncate_pair(IDS, STARTS, 5, (8, 9), most, side)  # type: ignore[arg-type]
    assert ids.tolist() == kept


def test_a_pair_without_an_end() -> None:
    assert truncate_pair(IDS, STARTS, 5, (), 3).tolist() == [0, 1, 2]


def test_a_pair_that_the_tokenizer_joins_has_nothing_behind_it() -> None:
    with pytest.raises(ValidationError, match="only a text"):
        PairTemplate(prefix="find: ", suffix="x")
