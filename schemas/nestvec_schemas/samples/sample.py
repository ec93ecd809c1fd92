"""A sample of texts, and where they came from: what rotations and maps are fitted on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """``texts`` in the order they were drawn; ``name`` is what a manifest calls their origin."""

    name: str
    texts: tuple[str, ...]
