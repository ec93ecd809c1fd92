"""Manifests of bridges: as encoders of their own, and of encoders as if they had none."""

from __future__ import annotations

from nestvec_schemas.bridges.bridge import Bridge, served_name
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.towers import EXIT_INPUT


def selected_bridge(manifest: Manifest) -> Bridge | None:
    """The bridge that a manifest of ``bridge_view`` is of; None for another manifest."""
    bridges = manifest.bridges
    return None if bridges is None or bridges.selected is None else bridges.maps[bridges.selected]


def bridge_view(manifest: Manifest, name: str) -> Manifest:
    """An encoder's bridge as an encoder of its own, which has the dims of the other encoder and reads texts:
    the graph of another tower has no bridges."""
    if manifest.bridges is None:
        raise ValueError(f"{manifest.name} has no bridges")
    bridge = manifest.bridges.maps[name]
    changes: dict[str, object] = {
        "name": served_name(manifest.name, name),
        "dim": bridge.dim,
        "dims": bridge.dims,
        "towers": {"text": manifest.towers["text"]},
        "layers": (bridge.exit,),
        "normalised": True,
        "outputs": {},
        "experts": {},
        "expert_towers": {},
        "retention": {},
        "exits": {},
        "bridges": manifest.bridges.model_copy(update={"selected": name}),
    }
    return manifest.model_copy(update=changes)


def graph_dim(manifest: Manifest) -> int:
    """Length of the rows of the main tower's graph: that of its longest vectors, its own or a bridge's."""
    maps = {} if manifest.bridges is None else manifest.bridges.maps
    return max([manifest.dim, *(bridge.dim for bridge in maps.values())])


def without_bridges(manifest: Manifest) -> Manifest:
    """The manifest as it was before the graph had bridges: the encoder's own vectors are the same."""
    bridges = manifest.bridges
    if bridges is None:
        return manifest
    towers = manifest.towers
    if not bridges.has_own_exits:
        towers = {
            name: tower.model_copy(
                update={"inputs": tuple(item for item in tower.inputs if item != EXIT_INPUT)}
            )
            for name, tower in towers.items()
        }
    files = {**manifest.files, **bridges.unbridged_files}
    return manifest.model_copy(update={"towers": towers, "files": files, "bridges": None})
