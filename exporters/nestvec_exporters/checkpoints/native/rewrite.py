"""What rewritings share: copying a checkpoint's files with a changed configuration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nestvec_exporters.checkpoints.layout import read_json


def write_configuration(
    folder: Path, target: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Write a checkpoint with another ``config.json``, without its code.

    Weights are linked where the file system allows it. A module of its own code in ``modules.json`` becomes
    sentence-transformers' Transformer where it is the first.
    """
    for path in sorted(folder.rglob("*")):
        place = target / path.relative_to(folder)
        if path.is_dir() or path.suffix == ".py":
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            _link_or_copy(path, place)
        else:
            shutil.copyfile(path, place)
    config = change(dict(read_json(folder / "config.json")))
    _write(target / "config.json", config)
    modules = target / "modules.json"
    if modules.is_file():
        _write(modules, [_native_row(row, first=at == 0) for at, row in enumerate(read_json(modules))])


def _link_or_copy(path: Path, place: Path) -> None:
    try:
        place.hardlink_to(path.resolve())
    except OSError:  # another file system
        shutil.copyfile(path, place)


def _native_row(row: dict[str, Any], *, first: bool) -> dict[str, Any]:
    own = not str(row.get("type")).startswith("sentence_transformers.")
    name = str(row.get("type")).rpartition(".")[2]
    if first and own and name == "Transformer":
        return {**row, "type": "sentence_transformers.models.Transformer"}
    return row


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
