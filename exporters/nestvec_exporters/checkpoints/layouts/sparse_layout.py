"""The modules of a sparse checkpoint, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nestvec_exporters.checkpoints.checkpoint import check_safetensors
from nestvec_exporters.checkpoints.layout import read_json
from nestvec_schemas.errors import CheckpointUnsupported

_TRANSFORMERS = ("Transformer", "MLMTransformer")
_TABLE = "SparseStaticEmbedding"
_WITH_WEIGHTS = (*_TRANSFORMERS, _TABLE, "Dense", "LayerNorm", "SparseAutoEncoder")
_WITHOUT_WEIGHTS = ("SpladePooling", "Pooling", "Dropout", "Normalize", "Router")
_KNOWN = (*_WITH_WEIGHTS, *_WITHOUT_WEIGHTS)
_ROUTES = "router_config.json"


@dataclass(frozen=True)
class SparseLayout:
    """A sparse checkpoint's modules."""

    kinds: tuple[str, ...]
    """The class names of sentence-transformers' modules; empty in transformers' layout."""

    transformers: tuple[Path, ...]
    """The folders of transformers models."""


def read_sparse_layout(folder: Path) -> SparseLayout:
    """Read the layout. Raises CheckpointUnsupported for modules of other kinds or with their own code, and
    unless all weights are safetensors."""
    modules = list(_modules(folder))
    if not modules:
        check_safetensors(folder)
        return SparseLayout((), (folder,))
    for kind, place in modules:
        # A table of weights can be words and numbers in a JSON file.
        if kind in _WITH_WEIGHTS and not (kind == _TABLE and _is_json_table(place)):
            check_safetensors(place)
    return SparseLayout(
        tuple(kind for kind, _ in modules), tuple(place for kind, place in modules if kind in _TRANSFORMERS)
    )


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every module's class name and folder; those of a router follow it."""
    path = folder / "modules.json"
    rows = read_json(path) if path.is_file() else []
    for row in rows if isinstance(rows, list) else [None]:
        module = row if isinstance(row, dict) else {}
        kind = _kind(module.get("type"))
        place = folder / str(module.get("path", ""))
        yield kind, place
        if kind == "Router":
            routes = read_json(place / _ROUTES)
            types = routes.get("types") if isinstance(routes, dict) else None
            for name, of in (types if isinstance(types, dict) else {}).items():
                yield _kind(of), place / str(name)


def _kind(of: Any) -> str:
    package, _, kind = str(of).rpartition(".")
    if package.partition(".")[0] != "sentence_transformers":
        raise CheckpointUnsupported(
            "the checkpoint has a module with its own code, and nestvec does not run a checkpoint's code",
            value=of,
            next_step="Choose a checkpoint that sentence-transformers loads without trust_remote_code.",
        )
    if kind not in _KNOWN:
        raise CheckpointUnsupported(
            "the checkpoint has a module that cannot be exported",
            value=kind,
            next_step=f"Known modules of sparse encoders: {', '.join(_KNOWN)}.",
        )
    return kind


def _is_json_table(folder: Path) -> bool:
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    return isinstance(config, dict) and str(config.get("path", "")).endswith(".json")
