"""One Triton server: its connection, the calls that it has now, and which models it fails on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Iterable
from typing import Final, NamedTuple

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from nestvec.engines.contract import Batch, GraphInputs, ServerState
from nestvec.engines.headers import current_headers
from nestvec.engines.triton.abandoned import MAX_CANARIES, AbandonedCalls
from nestvec.engines.triton.failures import (
    CallFailure,
    call_failure,
    late_call,
    overdue_calls,
    unusable_output,
)
from nestvec_schemas.errors import EngineError
from nestvec_schemas.vectors import Vectors

logger = logging.getLogger(__name__)

MAX_BATCH_SIZE: Final = 64
"""Inputs in one call: ``max_batch_size`` in the ``config.pbtxt`` that ``nestvec export`` writes."""

READY_SECONDS: Final = 1.5
"""For a probe; less than the service's own two seconds for one of its health."""

_LOAD_SECONDS: Final = 300.0
"""For Triton to load a graph: TensorRT may build an engine."""

_CALL_SECONDS: Final = 300.0
"""The deadline of a call on the wire, long after nobody waits for it: Triton may crash at it."""

_CLOSE_SECONDS: Final = 20.0
"""How long calls that nobody waits for may end before the connection is closed, which cancels them: a batch's
own deadline."""

_FRESH_SECONDS: Final = 10.0
"""How long an answer proves that a model still answers."""

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A Triton that restarts is found within a second, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection whose other end vanished is given up when that end's system does not confirm within 5 s
    # what was sent: gRPC sets this limit (TCP_USER_TIMEOUT) if keepalive is on at all. Its pings are too late
    # to matter: a Triton that stands still answers none, and would find its calls cancelled.
    ("grpc.keepalive_time_ms", int(_CALL_SECONDS * 1000)),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Do not share another client's back-off.
    ("grpc.use_local_subchannel_pool", 1),
)


class Graph(NamedTuple):
    """One graph of an encoder."""

    model: str
    """Triton's name for it."""
    inputs: GraphInputs
    output: str


class Canary(NamedTuple):
    """One input that a model has answered before, to try it with."""

    graph: Graph
    batch: Batch


class TritonServer:
    """One channel to a Triton server, opened by the first call and reconnected by gRPC.

    Belongs to the event loop of its first call.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_up = True
        """Whether calls go to it before they go to others that are down."""
        self.down_models: set[str] = set()
        """Models that it failed on, without an answer since."""
        self.stale_models: set[str] = set()
        """Models that others loaded anew and it did not: its vectors of them may be of earlier files."""
        self.calls: Counter[str] = Counter()
        """In flight, by model."""
        self.work = 0
        """Tokens in flight, with padding."""
        self.abandoned = AbandonedCalls()
        self.outcomes: Counter[str] = Counter()
        self.last_answer = 0.0
        """When it last answered any call, in seconds of the monotonic clock."""
        self._answered: dict[str, float] = {}
        self._open_client: InferenceServerClient | None = None

    @property
    def state(self) -> ServerState:
        """For the metrics."""
        return ServerState(self.address, self.is_up, self.in_flight, dict(self.outcomes), len(self.abandoned))

    @property
    def in_flight(self) -> int:
        """Calls in flight, without those that nobody waits for."""
        return sum(self.calls.values())

    @property
    def is_down(self) -> bool:
        """Whether it is down, or any of its models."""
        return not self.is_up or bool(self.down_models | self.stale_models)

    def serves(self, model: str) -> bool:
        """Whether calls for a model should go there, as far as is known."""
        return self.is_up and model not in self.down_models | self.stale_models

    async def infer(self, graph: Graph, batch: Batch, seconds: float) -> Vectors:
        """The output of a graph for at most MAX_BATCH_SIZE inputs. Raises CallFailure."""
        model, work, started = graph.model, batch.padded, time.monotonic()
        self.calls[model] += 1
        self.work += work
        outcome = "cancelled"
        try:
            vectors = await self._infer_within(graph, batch, seconds)
            outcome = "success"
        except CallFailure as failure:
            outcome = failure.kind
            self._note_failure(model, failure, started)
            raise
        finally:
            self.calls[model] -= 1
            self.work -= work
            self.outcomes[outcome] += 1
        self._note_answer(model)
        return vectors

    async def _infer_within(self, graph: Graph, batch: Batch, seconds: float) -> Vectors:
        """The same as ``_infer``; a call that takes longer, or that nobody waits for, is left to its end."""
        if self.abandoned.is_full:
            raise overdue_calls(self.address, graph.model, len(self.abandoned))
        call = asyncio.create_task(self._infer(graph, batch))
        try:
            await asyncio.wait([call], timeout=seconds)
        finally:
            if not call.done():
                self._abandon(call, graph.model, batch.padded)
            elif not call.cancelled():
                call.exception()  # nobody may wait for it any more
        if call.done():
            return call.result()
        raise late_call(self.address, graph.model, len(batch), seconds)

    def _abandon(self, call: asyncio.Task[Vectors], model: str, work: int) -> None:
        def end(call: asyncio.Task[Vectors]) -> None:
            self.work -= work
            if not call.cancelled() and call.exception() is None:
                self._note_answer(model)

        self.work += work
        call.add_done_callback(end)
        self.abandoned.add(call, model)

    async def _infer(self, graph: Graph, batch: Batch) -> Vectors:
        model, output = graph.model, graph.output
        try:
            answer = await self._client().infer(
                model,
                _infer_inputs(graph.inputs, batch),
                outputs=[InferRequestedOutput(output)],
                client_timeout=_CALL_SECONDS,
                headers=current_headers() or None,
            )
            vectors: Vectors | None = answer.as_numpy(output)
        except InferenceServerException as error:
            raise call_failure(self.address, model, len(batch), error) from error
        except ValueError as error:
            raise unusable_output(self.address, model, output, str(error)) from error
        if vectors is None or vectors.dtype != np.float32:
            problem = "no such output" if vectors is None else str(vectors.dtype)
            raise unusable_output(self.address, model, output, problem)
        return vectors

    def _note_answer(self, model: str) -> None:
        self.last_answer = self._answered[model] = time.monotonic()
        self.is_up = True
        self.down_models.discard(model)

    def _note_failure(self, model: str, failure: CallFailure, started: float) -> None:
        if failure.kind in ("unsent", "lost"):
            self.is_up = False
        elif failure.kind == "late" and self._answered.get(model, float("-inf")) > started:
            return  # it answered calls that were sent later
        elif failure.kind != "invalid":
            self.down_models.add(model)

    async def is_live(self) -> bool:
        """Whether the server answers at all. Never raises."""
        try:
            return bool(await self._client().is_server_live(client_timeout=READY_SECONDS))
        except InferenceServerException:
            return False

    async def has(self, model: str) -> bool:
        """Whether it has loaded a model. Never raises."""
        try:
            return bool(await self._client().is_model_ready(model, client_timeout=READY_SECONDS))
        except InferenceServerException:
            return False

    async def is_ready(self, models: Iterable[str], canaries: dict[str, Canary]) -> bool:
        """Whether it answers for all of these models, tried with one input where none was answered lately.

        Updates ``is_up`` and ``down_models``. Never raises.
        """
        names = list(models)
        try:
            checks = (self._client().is_model_ready(name, client_timeout=READY_SECONDS) for name in names)
            loaded = await asyncio.gather(*checks)
        except InferenceServerException:
            self.is_up = False
            return False
        answers = await asyncio.gather(*(self._answers(name, canaries.get(name)) for name in names))
        self.is_up = True
        for name, is_loaded, is_answered in zip(names, loaded, answers, strict=True):
            (self.down_models.discard if is_loaded and is_answered else self.down_models.add)(name)
        return all(loaded) and all(answers)

    async def _answers(self, model: str, canary: Canary | None) -> bool:
        """Whether a model computes: that it is loaded says nothing of a backend whose process has died."""
        recently = time.monotonic() - self._answered.get(model, float("-inf")) < _FRESH_SECONDS
        is_doubtful = model in self.down_models
        if canary is None or (recently and not is_doubtful):
            return True
        if self.calls[model] and not is_doubtful:  # those that wait now will tell
            return True
        if self.abandoned.by_model[model] >= MAX_CANARIES:  # one that ends will tell
            return False
        try:
            await self._infer_within(canary.graph, canary.batch, READY_SECONDS)
        except CallFailure as failure:
            return failure.kind == "invalid"
        self.last_answer = self._answered[model] = time.monotonic()
        return True

    async def load(self, model: str) -> None:
        """Have it load a model as it is on its disk now. Raises EngineError."""
        await self._control(model, self._client().load_model(model))
        self.stale_models.discard(model)

    async def unload(self, model: str) -> None:
        """Have it release a model. Raises EngineError."""
        await self._control(model, self._client().unload_model(model))

    async def close(self) -> None:
        """Close the connection, after a moment for the calls that nobody waits for."""
        if self.abandoned:
            logger.warning(
                "Triton at %s still works on %d calls: the service waits up to %g s for them before it "
                "stops, as Triton up to 25.01 can crash when calls are cancelled",
                self.address,
                len(self.abandoned),
                _CLOSE_SECONDS,
            )
            await self.abandoned.ended(_CLOSE_SECONDS)
        opened, self._open_client = self._open_client, None
        if opened is not None:
            await opened.close()

    def _client(self) -> InferenceServerClient:
        # gRPC's asyncio channel belongs to the loop that runs when it is made.
        if self._open_client is None:
            self._open_client = InferenceServerClient(self.address, channel_args=_CHANNEL_OPTIONS)
        return self._open_client

    async def _control(self, model: str, call: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(_LOAD_SECONDS):
                await call
        except (InferenceServerException, TimeoutError) as error:
            message = str(error) or f"no answer within {_LOAD_SECONDS:g} s"
            if "explicit" in message:
                raise EngineError(
                    f"Triton at {self.address} takes no requests to load or unload {model}",
                    value=message,
                    next_step="Start it with --model-control-mode explicit; or with poll, and it loads what "
                    "changes by itself; or restart it.",
                ) from error
            raise EngineError(
                f"Triton at {self.address} cannot load or unload {model}",
                value=message,
                next_step="See Triton's log; what it had loaded stays in use.",
            ) from error


def _infer_inputs(feed: GraphInputs, batch: Batch) -> list[InferInput]:
    inputs = []
    for name, array in feed.arrays(batch).items():
        infer_input = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        infer_input.set_data_from_numpy(np.ascontiguousarray(array))
        inputs.append(infer_input)
    return inputs
