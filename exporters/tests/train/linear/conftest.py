"""Short rotations, so that tests train quickly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _short_map_rotation() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nestvec_exporters.train.linear.training._ROTATION_STEPS", 20)
        yield
