"""The model repository that a service serves, which may change while it runs."""

from __future__ import annotations

import itertools
from pathlib import Path

from nestvec.service.catalog.instance import EncoderInstance
from nestvec.service.encoders import open_encoder, selected_names
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import file_path, find_encoder, read_manifest

_VERSION_FOLDER = "1"
"""Triton's; the graph's files are in it."""


class ServedRepository:
    """Some or all encoders of a model repository."""

    def __init__(self, models: Path, names: tuple[str, ...] = ()) -> None:
        """``names`` are the encoders to serve; empty for whatever is in the repository."""
        self._models, self._names = models, names
        self._generations = itertools.count()

    def select(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Serve other encoders from now on; returns those of before."""
        before, self._names = self._names, names
        return before

    def names(self) -> tuple[str, ...]:
        """The encoders to serve now. Raises EncoderNotFound if there is none."""
        return selected_names(self._models, self._names)

    def manifest(self, name: str) -> Manifest:
        """An encoder's manifest as it is on disk. Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew."""
        return read_manifest(find_encoder(self._models, name))

    def read(self, name: str, previous: EncoderInstance | None = None) -> EncoderInstance:
        """A new instance of an encoder, whose graphs no engine has opened yet.

        ``previous`` is the instance that it replaces. Raises as ``manifest`` does.
        """
        folder = find_encoder(self._models, name)
        own = open_encoder(folder, None if previous is None else previous.own)
        return EncoderInstance(
            own.with_outputs(),
            folder=folder,
            generation=next(self._generations),
            size=_graph_bytes(folder, own.manifest),
            resident=False,
        )


def _graph_bytes(folder: Path, manifest: Manifest) -> int:
    """Bytes of the graphs and of the weights beside them, which is about what they take in memory."""
    paths = [file_path(folder, name) for name in manifest.files]
    return sum(
        path.stat().st_size for path in paths if path.parent.name == _VERSION_FOLDER and path.is_file()
    )
