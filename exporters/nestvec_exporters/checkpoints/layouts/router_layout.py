"""The routes of an asymmetric encoder, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.checkpoint import check_safetensors
from nestvec_exporters.checkpoints.layout import read_json
from nestvec_schemas.errors import CheckpointUnsupported

ROUTERS: Final = ("Router", "Asym")
"""The class, and its name before sentence-transformers 5."""

ROUTES: Final = ("query", "document")

_CONFIGS: Final = ("router_config.json", "config.json")
_HEADS: Final = ("Dense", "LayerNorm", "Dropout", "Normalize")
_STARTS: Final = (("Transformer", "Pooling"), ("StaticEmbedding",))
_WITH_WEIGHTS: Final = ("Transformer", "StaticEmbedding", "Dense", "LayerNorm")


@dataclass(frozen=True)
class RouterLayout:
    """Where the transformers of the routes are."""

    transformers: Mapping[str, Path]
    """The folder of each route's transformers model; a static route has none."""


def read_router_layout(folder: Path) -> RouterLayout:
    """Read the routes. Raises CheckpointUnsupported unless they are those of queries and documents, of
    modules that can be exported, with weights in safetensors."""
    rows = read_json(folder / "modules.json")
    home = folder / str(rows[0].get("path", ""))
    name = next((name for name in _CONFIGS if (home / name).is_file()), None)
    config = read_json(home / name) if name is not None else {}
    types, structure = config.get("types") or {}, config.get("structure") or {}
    if set(structure) != set(ROUTES) or config.get("parameters", {}).get("route_mappings"):
        raise CheckpointUnsupported(
            "the checkpoint's Router has other routes than of queries and documents",
            value="route_mappings" if set(structure) == set(ROUTES) else ", ".join(structure) or "none",
            next_step="Choose one that Router.for_query_document made.",
        )
    tail = [(_kind(row.get("type")), folder / str(row.get("path", ""))) for row in rows[1:]]
    _check_modules("behind its Router", [kind for kind, _ in tail], starts=((),))
    transformers = {}
    for route, places in structure.items():
        modules = [(_kind(types.get(place)), home / str(place)) for place in places]
        _check_modules(f"of its route {route}", [kind for kind, _ in modules], starts=_STARTS)
        for kind, place in (*modules, *tail):
            if kind in _WITH_WEIGHTS:
                check_safetensors(place)
        if modules[0][0] == "Transformer":
            transformers[route] = modules[0][1]
    return RouterLayout(transformers)


def _check_modules(where: str, kinds: Sequence[str], *, starts: Sequence[tuple[str, ...]]) -> None:
    start = next((start for start in starts if tuple(kinds[: len(start)]) == start), None)
    unknown = [kind for kind in kinds[len(start or ()) :] if kind not in _HEADS]
    if start is None or unknown:
        expected = " or ".join(", ".join(start) for start in starts if start)
        raise CheckpointUnsupported(
            f"the checkpoint has modules {where} that cannot be exported",
            value=", ".join(unknown if start is not None else kinds) or "none",
            next_step=f"Choose one of {f'{expected}, then ' if expected else ''}{', '.join(_HEADS)}.",
        )


def _kind(name: Any) -> str:
    return str(name).rpartition(".")[2]
