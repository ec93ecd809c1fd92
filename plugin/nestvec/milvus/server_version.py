"""The version of a Milvus server, and the limits of a collection that follow from it.

Milvus tells its version but not its configuration. Versions are written ``v2.6.17``, ``2.6.17-dev`` or, by
builds between releases, ``2.6-20251010-5c1c17ea`` and ``master-20260113-192af17f``; Milvus Lite's is
``milvus_lite-3.2.2``, and services in the cloud put words around theirs. What a version does not say is
unknown, and nothing is refused for it: Milvus answers then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from nestvec.milvus.connection import HasServerVersion, milvus_errors

_NUMBERS = re.compile(r"(?<![0-9])v?([0-9]{1,2})\.([0-9]{1,3})(?:\.([0-9]{1,4}))?(?![0-9])")

_LITE = re.compile("milvus[-_]lite", re.IGNORECASE)

Release = tuple[int, int, int]

CALLS_COHERE_WITH_DIM: Final[Release] = (2, 6, 9)
"""From here on the ``cohere`` provider sends ``output_dimension``."""

CALLS_VOYAGE_WITH_TYPE: Final[Release] = (2, 6, 10)
"""From here on the ``voyageai`` provider sends ``output_dtype``, without which int8 vectors fail."""

TAKES_OWN_IDS: Final[Release] = (2, 6, 3)
"""From here on a row may have an id where Milvus generates it (``allow_insert_auto_id``)."""

HAS_NULL: Final[Release] = (2, 5, 0)
"""From here on fields may be nullable."""

ALTERS_FUNCTIONS: Final[Release] = (2, 6, 8)
"""From here on a Function's params can be altered."""

THREE: Final[Release] = (3, 0, 0)
"""From here on: ``timeout_ms``, credentials' names with capitals, nullable columns in a RERANK Function."""

_TEN_VECTOR_FIELDS: Final[Release] = (2, 6, 18)


@dataclass(frozen=True)
class ServerVersion:
    """What a server says about its version."""

    text: str = ""
    """The version as the server writes it; empty if no server was asked."""

    lite: bool = False
    numbers: tuple[int, int, int | None] | None = None
    """Major, minor and patch; the patch is None for a build between releases, all of it if no number is
    recognized."""

    def at_least(self, release: Release) -> bool | None:
        """Whether a Milvus server is of this release or a later one; None if that is unknown, or for
        Lite."""
        if self.lite or self.numbers is None:
            return None
        major, minor, patch = self.numbers
        if (major, minor) != release[:2]:
            return (major, minor) > release[:2]
        if patch is None:
            return True if release[2] == 0 else None
        return patch >= release[2]

    def before(self, release: Release) -> bool:
        """Whether a Milvus server is certainly older than this release."""
        return self.at_least(release) is False


UNKNOWN_VERSION: Final = ServerVersion()
"""The version of a server that was not asked."""


def parse_version(text: str) -> ServerVersion:
    """Read a version as ``get_server_version`` returns it."""
    # Not every lite: the server in the Python package milvus calls itself v2.3.5-lite.
    lite = _LITE.search(text) is not None
    match = _NUMBERS.search(text)
    if match is None:
        return ServerVersion(text, lite)
    major, minor, patch = match.groups()
    return ServerVersion(text, lite, (int(major), int(minor), None if patch is None else int(patch)))


def read_version(client: HasServerVersion) -> ServerVersion:
    """The version of a connection's server. Raises StoreError."""
    with milvus_errors("reading the server's version"):
        return parse_version(str(client.get_server_version()))


@dataclass(frozen=True)
class CollectionLimits:
    """What a collection may have, unless the server is configured otherwise; None if it is unknown or
    unlimited."""

    vector_fields: int | None = None
    """``proxy.maxVectorFieldNum``."""

    fields: int | None = None
    """``proxy.maxFieldNum``, vector fields included."""


def collection_limits(version: ServerVersion) -> CollectionLimits:
    """The limits of a server of this version; none of Milvus Lite, which has none."""
    if version.lite or version.numbers is None:
        return CollectionLimits()
    ten = version.at_least(_TEN_VECTOR_FIELDS)
    vector_fields = None if ten is None else 10 if ten else 4
    return CollectionLimits(vector_fields, 256 if version.at_least(THREE) else 64)
