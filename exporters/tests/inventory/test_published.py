"""Configurations of checkpoints as they are published: none of their declarations is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nestvec_exporters.inventory.take import take_inventory
from nestvec_exporters.options import ExportOptions

PUBLISHED = sorted((Path(__file__).parent / "published").glob("*.json"))

WriteFiles = Callable[[dict[str, Any]], Path]


@pytest.mark.parametrize("path", PUBLISHED, ids=[path.stem for path in PUBLISHED])
def test_a_published_checkpoint_passes(path: Path, write_files: WriteFiles) -> None:
    published = json.loads(path.read_text("utf-8"))
    folder = write_files(published["files"])
    options = ExportOptions(checkpoint=str(folder), models=Path("models"), name="encoder")
    declarations = take_inventory(folder, published["kind"], options)
    refused = {
        declaration.name: declaration.reason
        for declaration in declarations
        if declaration.outcome == "refused"
    }
    assert refused == {}
    judged = {declaration.name for declaration in declarations}
    assert {f"config.json:{key}" for key in published["files"].get("config.json", {})} <= judged | {
        f"config.json:{key}" for key in ("text_config", "vision_config", "sentence_transformers")
    }
