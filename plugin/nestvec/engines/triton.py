"""The Triton engine: batches over gRPC to a Triton server that holds the same model repository."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from nestvec.engines.contract import Batch, EngineInfo, GraphInputs, graph_inputs
from nestvec.engines.headers import current_headers
from nestvec_schemas.errors import DeadlineExceeded, EngineError, EngineUnavailable
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import part_name, read_manifest, verify_files
from nestvec_schemas.vectors import Vectors

MAX_BATCH_SIZE = 64
"""Inputs in one call: ``max_batch_size`` in the ``config.pbtxt`` that ``nestvec export`` writes."""

DEADLINE_SECONDS = 20.0
"""A batch's deadline: within the 30 s that Milvus allows a chunk, with room for what waits before it."""

_READY_SECONDS = 2.0

_LOAD_SECONDS = 300.0
"""For Triton to load a graph: TensorRT may build an engine."""

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A Triton that restarts is found within a second, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection whose other end vanished is given up before the deadline. Pings are sent only while a call
    # waits: Triton disconnects clients that ping more.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Do not share another client's back-off.
    ("grpc.use_local_subchannel_pool", 1),
)

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


class _Graph(NamedTuple):
    """One graph of an encoder."""

    model: str
    """Triton's name for it."""
    inputs: GraphInputs
    output: str


class TritonEngine:
    """One channel to a Triton server, opened by the first call and reconnected by gRPC.

    Belongs to the event loop of its first call. While Triton is down, calls fail; once it is back, they
    succeed again.
    """

    name = "triton"
    # One batch runs while the next is being sent.
    parallel = 2

    def __init__(self, folders: Mapping[str, Path], *, url: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Serve the encoders in ``folders`` (name to folder); ``url`` is HOST:PORT of Triton's gRPC endpoint.

        ``seconds`` is a batch's deadline. Connects at the first call only. Raises EncoderNotFound,
        ManifestCorrupt, ManifestTooNew, EngineError if ``url`` is not HOST:PORT.
        """
        self._url, self._seconds = _checked_address(url), seconds
        self._graphs: dict[tuple[str, int], dict[str, _Graph]] = {}
        for name, folder in folders.items():
            self.open(name, folder)
        self._open_client: InferenceServerClient | None = None

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
        self._graphs[encoder, generation] = {
            part: _Graph(part_name(encoder, part), inputs[part], manifest.tower_of_part(part).output)
            for part in manifest.parts
        }

    def drop(self, encoder: str, generation: int = 0) -> None:
        """See ``SessionEngine``."""
        self._graphs.pop((encoder, generation), None)

    async def load(self, encoder: str, generation: int = 0) -> None:
        """See ``RemoteEngine``: Triton must run with ``--model-control-mode explicit``."""
        for graph in self._graphs[encoder, generation].values():
            await self._control(graph.model, self._client().load_model(graph.model))

    async def unload(self, encoder: str, parts: Sequence[str]) -> None:
        """See ``RemoteEngine``."""
        for model in (part_name(encoder, part) for part in parts):
            await self._control(model, self._client().unload_model(model))

    async def answers(self) -> bool:
        """See ``RemoteEngine``."""
        try:
            return bool(await self._client().is_server_live(client_timeout=_READY_SECONDS))
        except InferenceServerException:
            return False

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract. Raises EngineUnavailable, DeadlineExceeded, EngineError."""
        if len(batch) <= MAX_BATCH_SIZE:
            return await self._infer(encoder, batch)
        return np.concatenate(
            await asyncio.gather(*(self._infer(encoder, part) for part in batch.parts(MAX_BATCH_SIZE)))
        )

    async def ready(self, encoder: str) -> bool:
        """See the contract."""
        graphs = [
            graph
            for (name, _), by_part in list(self._graphs.items())
            if name == encoder
            for graph in by_part.values()
        ]
        models = {graph.model for graph in graphs} or {encoder}
        checks = (self._client().is_model_ready(model, client_timeout=_READY_SECONDS) for model in models)
        try:
            return all(await asyncio.gather(*checks))
        except InferenceServerException:
            return False

    async def close(self) -> None:
        """See the contract."""
        opened, self._open_client = self._open_client, None
        if opened is not None:
            await opened.close()

    def _client(self) -> InferenceServerClient:
        # gRPC's asyncio channel belongs to the loop that runs when it is made.
        if self._open_client is None:
            self._open_client = InferenceServerClient(self._url, channel_args=_CHANNEL_OPTIONS)
        return self._open_client

    async def _infer(self, encoder: str, batch: Batch) -> Vectors:
        graph = self._graphs[encoder, batch.generation][batch.part]
        model, output = graph.model, graph.output
        try:
            answer = await self._client().infer(
                model,
                _infer_inputs(graph.inputs, batch),
                outputs=[InferRequestedOutput(output)],
                client_timeout=self._seconds,
                headers=current_headers() or None,
            )
            vectors: Vectors | None = answer.as_numpy(output)
        except InferenceServerException as error:
            raise self._engine_error(model, len(batch), error) from error
        except ValueError as error:
            raise self._unusable_output(graph, str(error)) from error
        if vectors is None or vectors.dtype != np.float32:
            problem = "no such output" if vectors is None else str(vectors.dtype)
            raise self._unusable_output(graph, problem)
        return vectors

    def _engine_error(self, encoder: str, inputs: int, error: InferenceServerException) -> EngineError:
        """The error of Triton or gRPC as an EngineError."""
        status = str(error.status() or "").removeprefix("StatusCode.")
        message = (error.message() or status or "no reason was given").strip().removesuffix(".")
        if status == "DEADLINE_EXCEEDED":
            return DeadlineExceeded(
                f"Triton at {self._url} did not answer in time for {inputs} inputs with {encoder}",
                value=f"{self._seconds:g} s",
                next_step="Insert fewer rows at once, or give Triton more instances or a GPU.",
            )
        if status in ("NOT_FOUND", "UNAVAILABLE") and ("unknown model" in message or "not ready" in message):
            return EngineUnavailable(
                f"Triton at {self._url} does not serve {encoder}",
                value=message,
                next_step=f"Point it at the model repository that nestvec serves from, or load {encoder} "
                "there; its log says why a model did not load.",
            )
        if status == "UNAVAILABLE":
            return EngineUnavailable(
                f"Triton at {self._url} does not answer for {encoder}",
                value=message,
                next_step="Start it, or correct --triton-url; the service recovers once it answers.",
            )
        return EngineError(
            f"Triton at {self._url} failed on a batch of {inputs} inputs with {encoder}",
            value=f"{message} ({status})" if status else message,
            next_step="See Triton's log; if it still fails, export the encoder again.",
        )

    async def _control(self, model: str, call: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(_LOAD_SECONDS):
                await call
        except (InferenceServerException, TimeoutError) as error:
            message = str(error) or f"no answer within {_LOAD_SECONDS:g} s"
            if "explicit" in message:
                raise EngineError(
                    f"Triton at {self._url} takes no requests to load or unload {model}",
                    value=message,
                    next_step="Start it with --model-control-mode explicit; or with poll, and it loads what "
                    "changes by itself; or restart it.",
                ) from error
            raise EngineError(
                f"Triton at {self._url} cannot load or unload {model}",
                value=message,
                next_step="See Triton's log; what it had loaded stays in use.",
            ) from error

    def _unusable_output(self, graph: _Graph, problem: str) -> EngineError:
        return EngineError(
            f"the response of Triton at {self._url} for {graph.model} has no float32 {graph.output}",
            value=problem,
            next_step="Point Triton at the repository that nestvec serves from, or export the encoder again.",
        )


def _infer_inputs(feed: GraphInputs, batch: Batch) -> list[InferInput]:
    inputs = []
    for name, array in feed.arrays(batch).items():
        infer_input = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        infer_input.set_data_from_numpy(np.ascontiguousarray(array))
        inputs.append(infer_input)
    return inputs


def _checked_address(url: str) -> str:
    match = _HOST_PORT.fullmatch(url)
    if not match or not 0 < int(match[2]) < 1 << 16:
        raise EngineError(
            "Triton's address is not HOST:PORT",
            value=url,
            next_step="Use only the host and the gRPC port, for example 127.0.0.1:8001.",
        )
    return url
