"""Folders of small files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nestvec_exporters.inventory.declaration import Declaration
from nestvec_exporters.inventory.take import take_inventory
from nestvec_exporters.options import ExportOptions


@pytest.fixture
def write_files(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes files by their paths: a string as it is, anything else as JSON."""

    def write(files: dict[str, Any]) -> Path:
        folder = tmp_path / "checkpoint"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return folder

    return write


def _options(folder: Path, **more: Any) -> ExportOptions:
    return ExportOptions(checkpoint=str(folder), models=Path("models"), name="encoder", **more)


@pytest.fixture
def take(write_files: Callable[[dict[str, Any]], Path]) -> Callable[..., dict[str, Declaration]]:
    """The declarations of files, by name, read as a kind."""

    def taken(files: dict[str, Any], kind: str = "sentence", **options: Any) -> dict[str, Declaration]:
        folder = write_files(files)
        declarations = take_inventory(folder, kind, _options(folder, **options))
        return {declaration.name: declaration for declaration in declarations}

    return taken
