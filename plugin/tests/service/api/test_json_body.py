from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nestvec.service.api import json_body
from nestvec.service.api.json_body import dump_json
from nestvec.service.request_context import RequestContext, current_context, set_current_context
from nestvec_schemas.errors import DeadlineExceeded


@dataclass
class Point:
    x: int
    y: str


scalars = st.one_of(st.integers(-5, 5), st.text(max_size=30), st.none(), st.booleans())
matrices = arrays.arrays(
    np.float32, st.tuples(st.integers(0, 9), st.integers(0, 9)), elements=st.integers(-9, 9)
)
points = st.builds(Point, st.integers(-5, 5), st.text(max_size=5))
bodies = st.recursive(
    st.one_of(scalars, matrices, points),
    lambda inner: st.one_of(
        st.lists(inner, max_size=8), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(body=bodies, numbers=st.integers(1, 40))
def test_slices_are_the_whole(body: Any, numbers: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "_SLICE_NUMBERS", numbers)
        written = dump_json(body)
    assert written == orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def test_nothing_is_written_after_the_deadline() -> None:
    before = current_context()
    set_current_context(RequestContext("client", time.monotonic() - 2, time.monotonic() - 1))
    try:
        with pytest.raises(DeadlineExceeded, match="while its response was written"):
            dump_json(np.zeros((600, 600), np.float32))
    finally:
        set_current_context(before)
