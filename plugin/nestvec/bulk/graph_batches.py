"""The batches of an export's sample on Ray: its graph run by several workers."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

from nestvec.bulk.ordered_pool import OrderedPool
from nestvec_schemas.errors import EngineError

_PIECE_BYTES: Final = 64 << 20
"""Of a file, in one object of Ray."""


class RunnableGraph(Protocol):
    """A graph to run, as the exporters have it. It pickles."""

    @property
    def graph(self) -> Path:
        """Its file, in a folder of its own."""
        ...

    def open(self, graph: Path, threads: int = 0, device: str = "auto") -> Callable[[Any], Any]:
        """What runs a batch, in the graph's file or a copy of it."""
        ...


@dataclass(frozen=True)
class OpenGraph:
    """Opens a graph in a worker: in the folder of the command, or a copy of it."""

    run: RunnableGraph

    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the files in the graph's folder; none if all workers run on the machine of the command."""

    pieces: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """References to the contents of the files, in pieces."""

    fetch: Callable[[Any], bytes] = bytes
    """The content of a reference."""

    def __call__(self, threads: int, device: str) -> Callable[[Any], Any]:
        """What runs a batch. Raises EngineError if the machine has no room for a copy."""
        folder = self.run.graph.parent
        if all(_digest(folder / name) == digest for name, digest in self.digests.items()):
            return self.run.open(self.run.graph, threads, device)
        try:
            # ONNX Runtime has read the files once it has opened the graph.
            with TemporaryDirectory(prefix="nestvec-graph-") as copy:
                for name, pieces in self.pieces.items():
                    with (Path(copy) / name).open("wb") as file:
                        for piece in pieces:
                            file.write(self.fetch(piece))
                return self.run.open(Path(copy) / self.run.graph.name, threads, device)
        except OSError as error:
            raise EngineError(
                "a worker cannot copy the graph",
                value=f"{socket.gethostname()}: {error.strerror or error}",
                next_step="Free space in the folder for temporary files of that machine, and run the command "
                "again.",
            ) from error


@dataclass(frozen=True)
class RayBatches:
    """Runs a graph on batches by the workers of a pool."""

    pool: OrderedPool

    def __call__(self, run: RunnableGraph, batches: Iterator[Any]) -> Iterator[Any]:
        """The outputs for each batch, in order."""
        ray = self.pool.ray
        hosts = {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
        if hosts == {socket.gethostname()}:
            return self.pool.map(OpenGraph(run), batches)
        files = sorted(path for path in run.graph.parent.iterdir() if path.is_file())
        digests = {path.name: _digest(path) for path in files}
        pieces = {path.name: [ray.put(piece) for piece in _pieces(path)] for path in files}
        return self.pool.map(OpenGraph(run, digests, pieces, _get), batches)


def _get(reference: Any) -> bytes:
    import ray  # noqa: PLC0415 - an optional package, which a worker has

    content: bytes = ray.get(reference)
    return content


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _digest(path: Path) -> str:
    """The SHA-256 of a file; empty without one."""
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""
