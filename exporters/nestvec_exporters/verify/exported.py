"""What a verification compares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nestvec_schemas.manifest import Manifest
from nestvec_schemas.vectors import Matrix


@dataclass(frozen=True)
class Exported:
    """An encoder in its folder."""

    folder: Path
    manifest: Manifest

    rotation: Matrix | None = None
    """What its vectors were multiplied by on purpose, (dim, dim); None for nothing."""
