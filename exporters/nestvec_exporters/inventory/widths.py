"""Widths that a checkpoint declares, compared along its modules and with its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.inventory.layout import TRANSFORMER_CLASSES, ModuleFolder
from nestvec_exporters.inventory.rules.modules import POOLING_FLAGS

_WIDTH_KEYS: Final = ("hidden_size", "d_model", "n_embd", "dim")
_POOLING_WIDTHS: Final = ("embedding_dimension", "word_embedding_dimension")
_MAX_HEADER: Final = 64 << 20

Mismatches = dict[tuple[str, str], str]
"""By file and key, why a width is refused."""


def width_mismatches(folder: Path, modules: Sequence[ModuleFolder]) -> Mismatches:
    """The widths in one chain of modules that differ from the width before them, or from their weights."""
    files, mismatches = CheckpointFiles(folder), Mismatches()
    width: int | None = None
    for module in modules:
        config = files.json(module.path("config.json"))
        check = _CHECKS.get(module.module_class)
        if module.module_class in TRANSFORMER_CLASSES:
            width = transformer_width(config)
        elif check is not None:
            width = check(module, config, width, tensor_shapes(folder / module.place), mismatches)
        elif module.module_class not in ("Dropout", "Normalize"):
            width = None
    return mismatches


def transformer_width(config: Mapping[str, Any]) -> int | None:
    """The width of a transformer's token vectors; None if its configuration does not say it, or if its
    vectors are those of two towers."""
    if "word_embed_proj_dim" in config or "vision_config" in config:
        return None
    text = config.get("text_config")
    config = text if isinstance(text, dict) and not any(key in config for key in _WIDTH_KEYS) else config
    return next((config[key] for key in _WIDTH_KEYS if isinstance(config.get(key), int)), None)


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a folder's safetensors, by name, without reading weights.

    A damaged file has none: loading it is an error of its own.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = file.read(size) if size <= _MAX_HEADER else b"{}"
        try:
            tensors = json.loads(header)
            shapes |= {
                name: tuple(entry["shape"]) for name, entry in tensors.items() if name != "__metadata__"
            }
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            continue
    return shapes


def _pooling(
    module: ModuleFolder,
    config: Mapping[str, Any],
    width: int | None,
    shapes: Mapping[str, Any],
    mismatches: Mismatches,
) -> int | None:
    for key in _POOLING_WIDTHS:
        _compare(module, key, config.get(key), width, "the transformer's width", mismatches)
    mode = config.get("pooling_mode")
    modes = [flag for flag in POOLING_FLAGS if config.get(flag)] if mode is None else mode
    count = 1 if isinstance(modes, str) else max(len(modes or ()), 1)
    return None if width is None else width * count


def _dense(
    module: ModuleFolder,
    config: Mapping[str, Any],
    width: int | None,
    shapes: Mapping[str, Any],
    mismatches: Mismatches,
) -> int | None:
    rows, columns = (*shapes.get("linear.weight", ()), None, None)[:2]
    for real, what in ((width, "the width before it"), (columns, "the width of its weights")):
        _compare(module, "in_features", config.get("in_features"), real, what, mismatches)
    _compare(module, "out_features", config.get("out_features"), rows, "the width of its weights", mismatches)
    width_after: int | None = config.get("out_features")
    return width_after


def _layer_norm(
    module: ModuleFolder,
    config: Mapping[str, Any],
    width: int | None,
    shapes: Mapping[str, Any],
    mismatches: Mismatches,
) -> int | None:
    shape = shapes.get("norm.weight") or (None,)
    for number, what in ((width, "the width before it"), (shape[0], "the width of its weights")):
        _compare(module, "dimension", config.get("dimension"), number, what, mismatches)
    return width


def _compare(
    module: ModuleFolder, key: str, declared: Any, real: int | None, what: str, mismatches: Mismatches
) -> None:
    if isinstance(declared, int) and real is not None and declared != real:
        mismatches[module.path("config.json"), key] = f"{what} is {real}, not {declared}"


_CHECKS: Final = {"Pooling": _pooling, "Dense": _dense, "LayerNorm": _layer_norm}
