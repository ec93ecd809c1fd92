"""Bridges: heads of an encoder's graph that map its vectors into another encoder's space.

A bridge from ``bge`` to ``minilm`` makes vectors that may be compared with those of ``minilm``. The service
serves it as an encoder of its own, ``bge.as.minilm``, for which ``?encoder=bge&as=minilm`` is another name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from nestvec_schemas.towers import EXIT_INPUT, Record

if TYPE_CHECKING:
    from nestvec_schemas.manifest import Manifest

BRIDGE_SEPARATOR: Final = ".as."
"""Between an encoder's name and a bridge's: ``bge.as.minilm``."""

_TAG_SEPARATOR: Final = ":"


class Bridge(Record):
    """A map from the encoder's own space into another encoder's."""

    fingerprint: str
    """Of the other encoder: the space of the mapped vectors."""

    mapped_from: str
    """Fingerprint of the encoder that the bridge is of."""

    exit: Annotated[int, Field(ge=1)]
    """What the graph's input EXIT_INPUT is for the bridge: a number above the layers."""

    dim: Annotated[int, Field(ge=1)]
    dims: tuple[int, ...]
    """The other encoder's ladder of prefixes."""

    method: str
    """The candidate that was chosen, as ``compared`` names it."""

    sample: str
    """Where the texts came from."""

    texts: Annotated[int, Field(ge=1)]
    """Number of documents of the sample, held-out ones included."""

    compared: dict[str, float]
    """By candidate, what held-out queries retrieve of what the other encoder retrieves by itself: the mean
    over prefixes, and over a collection of the other encoder's vectors and one of which half is mapped."""

    kept: dict[int, float] = Field(default_factory=dict)
    """Per dim, what the chosen map retrieves of it in a collection of the other encoder's vectors."""

    kept_mixed: dict[int, float] = Field(default_factory=dict)
    """The same in a collection of which half was written through the bridge."""


class Bridges(Record):
    """The bridges of an encoder."""

    maps: dict[str, Bridge]
    """By name, which is the other encoder's."""

    unbridged_files: dict[str, str]
    """The SHA-256 of the graph's files before it had bridges: a fingerprint is of these."""

    has_own_exits: bool
    """Whether the graph has the input EXIT_INPUT without bridges too."""

    selected: str | None = None
    """The bridge whose vectors are meant, in the manifest of ``bridge_view``; never in a file."""


def bridged_name(encoder: str, bridge: str) -> str:
    """The name under which a bridge is served: ``bge.as.minilm``, ``bge.as.minilm:2`` of ``bge:2``."""
    name, colon, tag = encoder.partition(_TAG_SEPARATOR)
    return f"{name}{BRIDGE_SEPARATOR}{bridge}{colon}{tag}"


def selected_bridge(manifest: Manifest) -> Bridge | None:
    """The bridge that a manifest of ``bridge_view`` is of; None for another manifest."""
    bridges = manifest.bridges
    return None if bridges is None or bridges.selected is None else bridges.maps[bridges.selected]


def bridge_view(manifest: Manifest, name: str) -> Manifest:
    """An encoder's bridge as an encoder of its own, which has the dims of the other encoder."""
    if manifest.bridges is None:
        raise ValueError(f"{manifest.name} has no bridges")
    bridge = manifest.bridges.maps[name]
    changes: dict[str, object] = {
        "name": bridged_name(manifest.name, name),
        "dim": bridge.dim,
        "dims": bridge.dims,
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
    """Length of the graph's rows: that of the longest vectors that it gives, its own or a bridge's."""
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
