"""A sample of texts with its origin, on which rotations and maps are fitted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """Texts to fit on."""

    name: str
    """Where they came from, as a manifest records it."""

    texts: tuple[str, ...]
    """In the order in which they were drawn."""
