"""Classes that a checkpoint names for sentence-transformers: rows of ``modules.json``, routes of a ``Router``
at any depth, activations.

A library that reads them imports them: sentence-transformers up to 5.7 does so for a *local* folder even
with ``trust_remote_code=False``; 6 imports whatever begins with ``torch.``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from nestvec_exporters.checkpoints.layout import read_json
from nestvec_schemas.errors import CheckpointUnsupported

MODULE_CLASSES: Final = frozenset(
    {
        "BoW",
        "CLIPModel",
        "CNN",
        "Dense",
        "Dropout",
        "LSTM",
        "LayerNorm",
        "LogitScore",
        "MLMTransformer",
        "MultiVectorMask",
        "Normalize",
    }
    | {"Pooling", "Router", "SparseAutoEncoder", "SparseStaticEmbedding", "SpladePooling", "StaticEmbedding"}
    | {
        "Asym",
        "HierarchicalTokenPooling",
        "LambdaTokenPooling",
        "Transformer",
        "WeightedLayerPooling",
        "WordWeights",
    }
)
"""The module classes of sentence-transformers, without WordEmbeddings, which imports a tokenizer class that
its own configuration names."""

PYLATE_CLASSES: Final = frozenset({"Dense"})
"""The module classes of PyLate, which late interaction reads without importing them."""

MAX_FILES: Final = 2_000
"""JSON files of a checkpoint; a folder with more is not one."""

_ACTIVATIONS: Final = ("activation_fn", "activation_function", "sbert_ce_default_activation_function")
_TORCH_MODULE: Final = re.compile(
    r"torch\.nn\.(?:modules\.(?:activation|dropout|linear|normalization)\.)?[A-Z]\w*"
)
"""Modules of torch; other names, such as ``torch.load``, are functions, which loading would call."""

_CONFIGURATIONS: Final = ("modules.json", "config.json", "config_sentence_transformers.json")


def check_module_classes(folder: Path, *, pylate: bool = False, trusted: bool = False) -> None:
    """Raise CheckpointUnsupported if a configuration at any depth of ``folder`` is not JSON, or names a class
    that is neither a module of sentence-transformers nor, for activations, of ``torch.nn``.

    ``pylate``: allow PyLate's modules as well, for a loader that imports none. ``trusted``: allow any class;
    its module's folder must still be inside.
    """
    for path in _configurations(folder):
        content = read_json(path)
        if path.name == "modules.json":
            for row in content if isinstance(content, list) else ():
                if isinstance(row, dict):
                    _check_class(row.get("type"), path, pylate=pylate, trusted=trusted)
                    _check_inside(row.get("path", ""), path)
        if isinstance(content, dict):
            types = content.get("types")
            for place, name in types.items() if isinstance(types, dict) else ():
                _check_class(name, path, pylate=pylate, trusted=trusted)
                _check_inside(place, path)
            if not trusted:
                _check_activations(content, path)


def _configurations(folder: Path) -> Iterator[Path]:
    """Files that may name classes, at any depth; links to folders are followed once."""
    visited: set[str] = set()
    count = 0
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if not name.endswith(".json") or not path.is_file():
                continue
            count += 1
            if count > MAX_FILES:
                raise CheckpointUnsupported(
                    f"the folder has more than {MAX_FILES:,} JSON files",
                    value=str(folder),
                    next_step="Give the folder of one checkpoint.",
                )
            if name.endswith(_CONFIGURATIONS) and name != "tokenizer_config.json":
                yield path


def _check_class(name: Any, path: Path, *, pylate: bool, trusted: bool) -> None:
    package, _, kind = str(name).rpartition(".")
    if trusted and package and kind:
        return
    root = package.partition(".")[0]
    if root == "sentence_transformers" and kind in MODULE_CLASSES:
        return
    if pylate and root == "pylate" and kind in PYLATE_CLASSES:
        return
    if root == "sentence_transformers" and kind:
        raise CheckpointUnsupported(
            f"{path.name} names a module that cannot be exported",
            value=kind,
            next_step=f"Known modules: {', '.join(sorted(MODULE_CLASSES))}.",
        )
    raise CheckpointUnsupported(
        f"{path.name} names a module with its own code, and nestvec does not run a checkpoint's code unless "
        "it is trusted",
        value=name,
        next_step="Read its code, then export with --trust-remote-code, or choose a checkpoint that "
        "sentence-transformers loads without it.",
    )


def _check_inside(place: Any, path: Path) -> None:
    """Raise CheckpointUnsupported if a module's folder is not below the file that names it."""
    parts = PurePosixPath(str(place).replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        raise CheckpointUnsupported(
            f"{path.name} names a folder outside the checkpoint",
            value=place,
            next_step="Save the checkpoint again with sentence-transformers.",
        )


def _check_activations(content: dict[str, Any], path: Path) -> None:
    named = [content.get(key) for key in _ACTIVATIONS]
    cross = content.get("sentence_transformers")
    named += [cross.get(key) for key in _ACTIVATIONS] if isinstance(cross, dict) else []
    for name in named:
        # A name without a dot is one of transformers' own.
        if isinstance(name, str) and "." in name and not _TORCH_MODULE.fullmatch(name):
            raise CheckpointUnsupported(
                f"{path.name} names an activation that is not from torch.nn",
                value=name,
                next_step="Choose a checkpoint with an activation from torch.nn.",
            )
