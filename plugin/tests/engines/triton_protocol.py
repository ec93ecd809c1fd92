"""The inference protocol of Triton over a real socket, with answers that a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from nestvec.engines.fake import fake_vector

DIM = 16
ROWS = [np.arange(n % 7 + 1, dtype=np.int64) for n in range(150)]


class Protocol(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The inference protocol over a real socket; what it answers with is given."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.exits: list[int] = []
        self.seconds = 0.0
        self.hold: asyncio.Event | None = None
        self.status: tuple[grpc.StatusCode, str] | None = None
        self.vectors: Callable[[np.ndarray[Any, Any]], bytes] | None = None
        self.output, self.type = "sentence_embedding", "FP32"
        self.is_live = True
        self.loads = 0
        self.cancelled = 0
        """Calls that were cancelled, or reached their deadline on the wire."""
        self.load_error = ""

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=self.is_live)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelReadyResponse(ready=request.name == "tiny")

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        self.loads += 1
        if self.load_error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, self.load_error)
        return service_pb2.RepositoryModelLoadResponse()

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        arrays = [
            np.frombuffer(raw, np.int64).reshape(tuple(one.shape))
            for one, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        ]
        ids, mask = arrays[:2]
        for exits in arrays[2:]:
            assert exits.shape == (len(ids), 1)
            self.exits += exits[:, 0].tolist()
        self.sizes.append(len(ids))
        try:
            await asyncio.sleep(self.seconds)
            if self.hold:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.status:
            await context.abort(*self.status)
        vectors = np.stack([fake_vector(row[keep > 0], DIM) for row, keep in zip(ids, mask, strict=True)])
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        answer.outputs.add(name=self.output, datatype=self.type, shape=vectors.shape)
        answer.raw_output_contents.append(self.vectors(vectors) if self.vectors else vectors.tobytes())
        return answer


@asynccontextmanager
async def listening(protocol: Protocol, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[int]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(protocol, server)
    bound = server.add_insecure_port(f"{host}:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)
