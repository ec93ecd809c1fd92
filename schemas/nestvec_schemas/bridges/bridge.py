"""Bridges: heads of an encoder's graph that map its vectors into another encoder's space.

A bridge from ``bge`` to ``minilm`` makes vectors that may be compared with those of ``minilm``. The service
serves it as an encoder of its own, ``bge.as.minilm``, for which ``?encoder=bge&as=minilm`` is another name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from nestvec_schemas.towers import Record, Role

BRIDGE_SEPARATOR: Final = ".as."
"""Between an encoder's name and a bridge's: ``bge.as.minilm``."""

_TAG_SEPARATOR: Final = ":"

_TAG_MARK: Final = ".v"
"""What a bridge's name has in place of the colon before the other encoder's tag."""


class Bridge(Record):
    """A map from the encoder's own space into another encoder's."""

    fingerprint: str
    """Of the other encoder: the space of the mapped vectors."""

    mapped_from: str
    """Fingerprint of the encoder that the bridge is of."""

    exit: Annotated[int, Field(ge=1)]
    """What the graph's input EXIT_INPUT is for the bridge: a number above the layers."""

    query_exit: Annotated[int, Field(ge=1)] | None = None
    """The same for texts that are known to be queries, where they have a map of their own; all other texts
    have the one of ``exit``."""

    dim: Annotated[int, Field(ge=1)]
    dims: tuple[int, ...]
    """The other encoder's ladder of prefixes."""

    method: str
    """The candidate that was chosen, as ``compared`` names it."""

    sample: str
    """Where the texts came from."""

    texts: Annotated[int, Field(ge=1)]
    """Number of documents of the sample, or of captioned images, held-out ones included."""

    compared: dict[str, float]
    """By candidate, what held-out queries retrieve of what the other encoder retrieves by itself: the mean
    over prefixes, and over a collection of the other encoder's vectors and one of which half is mapped."""

    quality: dict[int, float] = Field(default_factory=dict)
    """Per dim, what the chosen map retrieves of it in a collection of the other encoder's vectors."""

    unstated_quality: dict[int, float] = Field(default_factory=dict)
    """The same of queries whose requests do not say that they are: empty where it makes no difference."""

    mixed_quality: dict[int, float] = Field(default_factory=dict)
    """The same in a collection of which half was written through the bridge."""

    recall: dict[int, float] = Field(default_factory=dict)
    """Of a bridge from texts to images instead of these two: by k, the share of held-out captions that have
    their image among the k nearest of ``held_out_images``."""

    held_out_images: int = 0
    """Number of images that ``recall`` is of: by chance it is k of them."""

    @model_validator(mode="before")
    @classmethod
    def _without_digest(cls, values: Any) -> Any:
        """Manifests were written with a digest of the maps' numbers, which nothing read."""
        if isinstance(values, Mapping):
            return {name: value for name, value in values.items() if name != "maps"}
        return values

    @property
    def exits(self) -> tuple[int, ...]:
        """The exits of all its maps."""
        return (self.exit,) if self.query_exit is None else (self.exit, self.query_exit)

    def exit_for(self, role: Role | None) -> int:
        """The exit of the map of queries or of documents; of texts whose side is not known, of documents."""
        return self.query_exit or self.exit if role == "query" else self.exit


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


def bridge_key(old: str) -> str:
    """The name of a bridge into the space of the encoder ``old``: ``minilm.v2`` of ``minilm:2``, because the
    tag at the end of a bridged name is that of the encoder that has the bridge.

    Two encoders never have the same: a ``.v`` in their own names is doubled, and a tag begins with a letter
    or a digit, so that an odd number of them in a row ends with the one in place of the colon.
    """
    return old.replace(_TAG_MARK, 2 * _TAG_MARK).replace(_TAG_SEPARATOR, _TAG_MARK)


def bridged_name(encoder: str, old: str) -> str:
    """The name under which the bridge of ``encoder`` into the space of ``old`` is served: ``bge.as.minilm``,
    ``bge.as.minilm:2`` of ``bge:2``, ``bge.as.minilm.v2`` into the space of ``minilm:2``."""
    return served_name(encoder, bridge_key(old))


def served_name(encoder: str, key: str) -> str:
    """The name under which the bridge of ``encoder`` that is called ``key`` is served."""
    name, colon, tag = encoder.partition(_TAG_SEPARATOR)
    return f"{name}{BRIDGE_SEPARATOR}{key}{colon}{tag}"


def split_bridged_name(name: str) -> tuple[str, str] | None:
    """The encoder and the bridge of a name that ``served_name`` made; None for another name."""
    served, colon, tag = name.partition(_TAG_SEPARATOR)
    encoder, separator, bridge = served.partition(BRIDGE_SEPARATOR)
    return (f"{encoder}{colon}{tag}", bridge) if separator else None


def possible_splits(name: str) -> Iterator[tuple[str, str]]:
    """Every encoder and bridge that a name may be read as, the shortest encoder first: an alias of an encoder
    may have ``.as.`` in it, too."""
    served, colon, tag = name.partition(_TAG_SEPARATOR)
    parts = served.split(BRIDGE_SEPARATOR)
    for count in range(1, len(parts)):
        encoder, bridge = BRIDGE_SEPARATOR.join(parts[:count]), BRIDGE_SEPARATOR.join(parts[count:])
        yield f"{encoder}{colon}{tag}", bridge
