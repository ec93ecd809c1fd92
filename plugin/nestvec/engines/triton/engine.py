"""The Triton engine: batches over gRPC to Triton servers that hold the same model repository."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nestvec.engines.contract import Batch, EngineInfo, ServerState, graph_inputs
from nestvec.engines.triton.addresses import LOOKUP_SECONDS, Resolver, parse_addresses
from nestvec.engines.triton.pool import ServerPool
from nestvec.engines.triton.server import MAX_BATCH_SIZE, Graph
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import part_name, read_manifest, verify_files
from nestvec_schemas.vectors import Vectors

DEADLINE_SECONDS = 20.0
"""A batch's deadline: within the 30 s that Milvus allows a chunk, with room for what waits before it."""


class TritonEngine:
    """One channel to each Triton server, opened by the first call and reconnected by gRPC.

    Belongs to the event loop of its first call. A batch goes to the server with the least work, and to
    another one if that fails or is late. While all are down, calls fail; once any is back, they succeed.
    """

    name = "triton"

    def __init__(
        self,
        folders: Mapping[str, Path],
        *,
        url: str,
        seconds: float = DEADLINE_SECONDS,
        resolver: Resolver | None = None,
    ) -> None:
        """Serve the encoders in ``folders`` (name to folder); ``url`` is HOST:PORT of Triton's gRPC endpoint,
        or several with commas. A name that resolves to several addresses stands for all of them.

        ``seconds`` is a batch's deadline; ``resolver`` replaces the system's. Connects at the first call.
        Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew, EngineError if ``url`` is not HOST:PORT.
        """
        self._seconds = seconds
        resolver = resolver or Resolver(parse_addresses(url))
        if resolver.has_names:
            # A resolver that does not answer must not stop the start: the service looks again as it runs.
            looking = threading.Thread(target=resolver.refresh_now, name="nestvec-resolve", daemon=True)
            looking.start()
            looking.join(LOOKUP_SECONDS)
        self._pool = ServerPool(resolver)
        self._graphs: dict[tuple[str, int], dict[str, Graph]] = {}
        for name, folder in folders.items():
            self.open(name, folder)

    @property
    def parallel(self) -> int:
        """One batch runs on each server while the next is being sent."""
        return 2 * len(self._pool.servers)

    @property
    def servers(self) -> list[ServerState]:
        """See ``PooledEngine``."""
        return [server.state for server in self._pool.servers.values()]

    @property
    def hedges(self) -> Mapping[str, int]:
        """See ``PooledEngine``."""
        return self._pool.hedges

    @property
    def info(self) -> EngineInfo:
        """See ``SessionEngine``."""
        return EngineInfo(self.name, version("tritonclient"))

    def encoder_info(self, encoder: str) -> EngineInfo:
        """See ``SessionEngine``."""
        return self.info

    def open(self, encoder: str, folder: Path, generation: int = 0, manifest: Manifest | None = None) -> None:
        """See ``SessionEngine``: how the encoder's batches are sent. Triton loads the graphs itself.

        Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew.
        """
        manifest = manifest or read_manifest(folder)
        verify_files(folder, manifest, graphs_elsewhere=True)
        inputs = graph_inputs(manifest)
        for part in manifest.parts:
            self._pool.forget(part_name(encoder, part))
        self._graphs[encoder, generation] = {
            part: Graph(part_name(encoder, part), inputs[part], manifest.tower_of_part(part).output)
            for part in manifest.parts
        }

    def drop(self, encoder: str, generation: int = 0) -> None:
        """See ``SessionEngine``."""
        self._graphs.pop((encoder, generation), None)

    async def load(self, encoder: str, generation: int = 0) -> None:
        """See ``RemoteEngine``: every Triton must run with ``--model-control-mode explicit``."""
        for graph in self._graphs[encoder, generation].values():
            await self._pool.load(graph.model)

    async def unload(self, encoder: str, parts: Sequence[str]) -> None:
        """See ``RemoteEngine``."""
        for model in [part_name(encoder, part) for part in parts]:
            await self._pool.unload(model)

    async def answers(self) -> bool:
        """See ``RemoteEngine``."""
        return await self._pool.is_live()

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract. Raises EngineUnavailable, DeadlineExceeded, EngineError."""
        if len(batch) <= MAX_BATCH_SIZE:
            return await self._infer(encoder, batch)
        return np.concatenate(
            await asyncio.gather(*(self._infer(encoder, part) for part in batch.parts(MAX_BATCH_SIZE)))
        )

    async def ready(self, encoder: str) -> bool:
        """See the contract: whether any of the servers can."""
        graphs = [
            graph
            for (name, _), by_part in list(self._graphs.items())
            if name == encoder
            for graph in by_part.values()
        ]
        return await self._pool.is_ready(sorted({graph.model for graph in graphs} or {encoder}))

    async def close(self) -> None:
        """See the contract."""
        await self._pool.close()

    async def _infer(self, encoder: str, batch: Batch) -> Vectors:
        graph = self._graphs[encoder, batch.generation][batch.part]
        return await self._pool.infer(graph, batch, self._seconds)
