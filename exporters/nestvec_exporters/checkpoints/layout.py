"""The two layouts of a checkpoint: transformers' (``config.json`` beside the weights) and
sentence-transformers' (``modules.json`` with a folder per module)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nestvec_schemas.errors import CheckpointNotFound, CheckpointUnsupported

MODULES = ("Transformer", "Pooling", "Dense", "LayerNorm", "Dropout", "Normalize")
"""The kinds of sentence-transformers modules that can be exported."""

_MAX_JSON_BYTES = 4 << 20


@dataclass(frozen=True)
class Module:
    """A row of ``modules.json``."""

    kind: str
    """The class name."""

    folder: Path
    """The folder of its files."""


def read_modules(folder: Path) -> tuple[Module, ...]:
    """The modules in ``modules.json``; empty in transformers' layout. Raises CheckpointUnsupported."""
    path = folder / "modules.json"
    if not path.is_file():
        return ()
    rows = read_json(path)
    modules = []
    for row in rows if isinstance(rows, list) else [None]:
        if not isinstance(row, dict) or not isinstance(row.get("type"), str):
            raise CheckpointUnsupported(
                "modules.json does not list modules",
                value=row,
                next_step="Save the checkpoint again with sentence-transformers.",
            )
        package, _, kind = row["type"].rpartition(".")
        if package.partition(".")[0] != "sentence_transformers":
            raise CheckpointUnsupported(
                "the checkpoint has a module with its own code, and nestvec does not run a checkpoint's code",
                value=row["type"],
                next_step="Choose a checkpoint that sentence-transformers loads without trust_remote_code.",
            )
        if kind not in MODULES:
            raise CheckpointUnsupported(
                "the checkpoint has a module that cannot be exported",
                value=kind,
                next_step=f"Known modules: {', '.join(MODULES)}.",
            )
        modules.append(Module(kind, folder / str(row.get("path", ""))))
    _check_order(tuple(module.kind for module in modules))
    return tuple(modules)


def transformer_folder(folder: Path) -> Path:
    """The folder of the transformers model: the first module's, or the checkpoint's own."""
    modules = read_modules(folder)
    return modules[0].folder if modules else folder


def first_folder(folder: Path) -> Path:
    """The folder of the first module, of any kind; otherwise the checkpoint's own."""
    path = folder / "modules.json"
    rows = read_json(path) if path.is_file() else []
    first = rows[0] if isinstance(rows, list) and rows else {}
    return folder / str(first.get("path", "")) if isinstance(first, dict) else folder


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's ``config.json``. Raises CheckpointNotFound and CheckpointUnsupported."""
    path = folder / "config.json"
    if not path.is_file():
        if (folder / "adapter_config.json").is_file():
            raise CheckpointUnsupported(
                "the checkpoint is an adapter without its base model",
                value=folder.name,
                next_step="Merge it first (peft: merge_and_unload, save_pretrained) and export the result.",
            )
        raise CheckpointNotFound(
            "the folder is not a checkpoint: it has no config.json",
            value=str(folder),
            next_step="Give the folder with config.json and the weights.",
        )
    config = read_json(path)
    if not isinstance(config, dict):
        raise CheckpointUnsupported(
            "config.json is not a JSON object",
            value=type(config).__name__,
            next_step="Download the checkpoint again.",
        )
    return config


def read_json(path: Path) -> Any:
    """A JSON file of at most 4 MiB. Raises CheckpointUnsupported."""
    with path.open("rb") as file:
        data = file.read(_MAX_JSON_BYTES + 1)
    try:
        if len(data) > _MAX_JSON_BYTES:
            raise ValueError(f"larger than {_MAX_JSON_BYTES >> 20} MiB")
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointUnsupported(
            f"{path.name} is not JSON", value=str(error), next_step="Download the checkpoint again."
        ) from error


def _check_order(kinds: tuple[str, ...]) -> None:
    if kinds[:2] != ("Transformer", "Pooling") or len({"Transformer", "Pooling"} & set(kinds[2:])):
        raise CheckpointUnsupported(
            "the checkpoint is not one Transformer followed by one Pooling",
            value=", ".join(kinds) or "no modules",
            next_step="Choose a checkpoint whose modules.json starts with these two.",
        )
