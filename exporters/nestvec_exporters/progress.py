"""Progress of a long job, as told to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Listener:
    """Receives the progress of a job."""

    stage: Callable[[str], None] = lambda name: None
    """Called with the name of each stage as it begins."""

    step: Callable[[int, int], None] = lambda done, total: None
    """Called with the units done, and with all of them, of a stage that takes long."""
