"""What every API has in common: a request independent of its API, and the embeddings for it."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeVar, cast

import numpy as np
from fastapi import Request, Response
from pydantic import Field, StrictBool, model_validator
from starlette.requests import ClientDisconnect

from nestvec.service.api.json_body import WrittenJson, dump_json, off_loop
from nestvec.service.api.request_model import ApiRequest
from nestvec.service.api.selection import QueryFields
from nestvec.service.bodies.fields import Inputs
from nestvec.service.bodies.readers import check_text_lengths
from nestvec.service.embedder import Embedder, EmbedOptions
from nestvec.service.embedding_result import EmbeddingResult
from nestvec.service.encoders import LoadedEncoder, resolve_encoder
from nestvec.service.middleware.connection_gate import CONNECTION, WatchedConnection
from nestvec.service.preprocess.inputs import EmbedInput
from nestvec.service.preprocess.modality import Modalities, as_modality, check_modality
from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.preprocess.truncation import Overlong, Truncation
from nestvec.service.prompts import choose_prompt, put_prompt
from nestvec.service.ranking import RankingTask, rank
from nestvec.service.scoring import Float64Array, Scores
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import BodyInvalid, DimNotOffered, EmptyInput, NotOffered, TooManyInputs
from nestvec_schemas.fingerprint import check_fingerprint
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.message_text import shown
from nestvec_schemas.on_error import OnError
from nestvec_schemas.towers import OutputKind
from nestvec_schemas.vectors import check_prefix_dim, nest

T = TypeVar("T")

FINGERPRINT_HEADER: Final = "x-nestvec-fingerprint"

_MAX_NAME: Final = 64

_CHARACTERS_PER_NUMBER: Final = 8
"""Characters of an input that take as long to handle as a number of a response."""


class TruncationFields(ApiRequest):
    """What happens to overlong texts, in the fields of TEI."""

    truncate: StrictBool | None = Field(
        None, description="Truncate overlong texts. Default: the server's setting."
    )
    truncation_direction: Literal["Right", "Left", "right", "left"] | None = Field(
        None, description="The side on which overlong texts are truncated. Default: the encoder's."
    )

    def truncation(self, query: QueryFields, server: ServiceSettings) -> Truncation:
        """The query string takes precedence over the body, the body over the server's setting."""
        by_field: dict[bool | None, Overlong] = {None: server.overlong, True: "truncate", False: "error"}
        named = (self.truncation_direction or "").lower()
        directions: dict[str, Direction] = {"right": "right", "left": "left"}
        return Truncation(query.overlong or by_field[self.truncate], directions.get(named))


class ParameterFields(TruncationFields):
    """A request whose fields, but its inputs, may also be in ``parameters``, as Hugging Face's clients write
    them."""

    parameters: dict[str, Any] | None = Field(None, description="The other fields may be in here.")

    @model_validator(mode="before")
    @classmethod
    def unpack_parameters(cls, values: Any) -> Any:
        """The parameters as fields of the body. Raises BodyInvalid for one that the body has otherwise."""
        parameters = values.get("parameters") if isinstance(values, dict) else None
        if not isinstance(parameters, dict):
            return values
        unpacked = {}
        for name, value in parameters.items():
            if name in ("inputs", "parameters"):
                raise BodyInvalid(
                    "the parameters cannot have a field of this name",
                    value=f"parameters.{name}",
                    next_step="Send the texts as inputs, beside the parameters.",
                )
            if value is not None and values.get(name) not in (None, value):
                raise BodyInvalid(
                    f"the request has two values of {name[:_MAX_NAME]}",
                    value=f"{shown(values[name])} and {shown(value)}",
                    next_step="Send one of them.",
                )
            if value is not None:
                unpacked[name] = value
        return values | unpacked


@dataclass(frozen=True)
class EmbedCall:
    """A request to embed, independent of its API."""

    inputs: Sequence[EmbedInput]
    config: EmbeddingConfig
    truncation: Truncation
    on_error: OnError = "reject"
    normalised: bool | None = None
    """None for vectors as the encoder was exported."""
    prompt: PromptName | None = None
    """Name of the prompt in the body; None if it names none."""
    modality: Modalities = None
    """What the inputs are; None for what they look like."""


def embedder_of(request: Request) -> Embedder:
    """The app's embedder."""
    embedder: Embedder = request.app.state.embedder
    return embedder


async def embed_dense(request: Request, call: EmbedCall) -> EmbeddingResult:
    """Embed, truncate to the dim, normalise: the outputs are (n, dim) float32.

    Raises RequestError, EncoderNotFound, DimNotOffered, ExitNotOffered, ExpertNotOffered, PromptNotOffered,
    EngineError; ClientDisconnect if the client disconnects in the meantime, which frees its place.
    """
    started = time.perf_counter()
    encoder = selected_encoder(request, call.config, "dense")
    manifest = encoder.manifest
    dim = manifest.dim if call.config.dim is None else call.config.dim
    check_prefix_dim(dim, manifest.dim)
    result = await _embed_inputs(request, call, encoder)
    normalised = manifest.normalised if call.normalised is None else call.normalised
    outputs = await off_loop(
        manifest.dim * len(result.outputs), lambda: nest(result.vectors, dim, normalised=normalised)
    )
    return result.finished(time.perf_counter() - started, outputs)


async def embed_tokens(request: Request, call: EmbedCall) -> EmbeddingResult:
    """Embed by an encoder for late interaction: the outputs are (t, dim) float32, one for each input.

    Texts are documents unless the call names a prompt. Raises what ``embed_dense`` does, and DimNotOffered
    for any dim but the encoder's.
    """
    manifest = selected_encoder(request, call.config, "multivector").manifest
    if call.config.dim not in (None, manifest.dim):
        raise DimNotOffered(
            "token vectors are compared at their full length",
            value=call.config.dim,
            next_step=f"Omit dim=, or request {manifest.dim}.",
        )
    if call.prompt is None and all(isinstance(value, str) for value in call.inputs):
        call = replace(call, prompt="document")
    return await embed_inputs(request, call)


async def embed_inputs(request: Request, call: EmbedCall) -> EmbeddingResult:
    """The encoder's outputs for a request's inputs, whatever its kind. Raises what ``embed_dense`` does."""
    started = time.perf_counter()
    encoders = embedder_of(request).encoders
    encoder = encoders[resolve_encoder(encoders, call.config.encoder)]
    result = await _embed_inputs(request, call, encoder)
    return result.finished(time.perf_counter() - started)


async def _embed_inputs(request: Request, call: EmbedCall, encoder: LoadedEncoder) -> EmbeddingResult:
    embedder, config = embedder_of(request), call.config
    reads_images, load = encoder.reads_images, embedder.settings.load
    if call.modality is not None:
        check_modality(encoder, call.modality)
    check_count(call.inputs, load.inputs)
    if not reads_images or call.modality == "text":
        check_text_lengths(call.inputs, load.bodies.text_characters, load.bodies.characters)
    choice = choose_prompt(encoder.manifest, call.prompt, config)

    def prompted_inputs() -> list[EmbedInput]:
        values = as_modality(call.inputs, encoder, call.modality)
        if reads_images:
            values = [encoder.without_prompt(value) for value in values]
        return put_prompt(values, choice, encoder)

    inputs = await off_loop(sum(map(len, call.inputs)) // _CHARACTERS_PER_NUMBER, prompted_inputs)
    options = EmbedOptions(config, call.truncation, call.on_error, choice.role)
    work = embedder.embed(encoder.manifest.name, inputs, options)
    return await while_connected(request, work, len(inputs))


async def rank_connected(request: Request, task: RankingTask) -> tuple[Scores, EmbeddingResult]:
    """``rank``, as long as the client is connected. Raises ClientDisconnect, else what ``rank`` does."""
    started = time.perf_counter()
    work = rank(embedder_of(request), task)
    scores, result = await while_connected(request, work, len(task.documents))
    return scores, result.finished(time.perf_counter() - started)


async def score_connected(
    request: Request, task: RankingTask, *, raw: bool = False
) -> tuple[Float64Array, EmbeddingResult]:
    """The scores of texts in their order, (n,): cosines by a dense encoder, else from 0 to 1, or as the
    encoder gives them if ``raw``.

    Raises what ``rank_connected`` does.
    """
    scores, result = await rank_connected(request, task)
    is_dense = embedder_of(request).encoders[task.encoder].manifest.kind == "dense"
    return scores.raw if raw or is_dense else scores.relevance, result


async def while_connected(request: Request, work: Coroutine[Any, Any, T], inputs: int) -> T:
    """The result of ``work`` on ``inputs`` inputs, which is cancelled soon after the client has closed the
    connection.

    To be called once the request's body has been read: the next message is then the disconnect.
    Raises ClientDisconnect, else what ``work`` does.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("while_connected needs a running task")
    disconnected = False

    def cancel_work() -> None:
        nonlocal disconnected
        disconnected = True
        task.cancel()

    end_watch = _watch_connection(request, inputs, cancel_work)
    try:
        return await work
    except asyncio.CancelledError:
        # As asyncio.timeout does it: a cancellation by somebody else goes on.
        if disconnected and task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        end_watch()


def _watch_connection(request: Request, inputs: int, gone: Callable[[], None]) -> Callable[[], None]:
    """Have ``gone`` called when the client closes the connection. Returns what ends the watch."""
    tasks: list[asyncio.Task[None]] = []

    def watch(wait: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(wait)
        task.add_done_callback(call_gone)
        tasks.append(task)

    def call_gone(ended: asyncio.Task[None]) -> None:
        if not ended.cancelled():
            gone()

    def take_back() -> None:
        watch(_wait_for_slice(request, inputs))

    # Where the server tells it, no task has to wait for it.
    connection: WatchedConnection | None = request.scope.get(CONNECTION)
    if connection is None:
        watch(_wait_for_disconnect(request, inputs))
    else:
        connection.call_when_lost(take_back)

    def end() -> None:
        if connection is not None:
            connection.do_not_call(take_back)
        for task in tasks:
            task.remove_done_callback(call_gone)
            task.cancel()

    return end


async def _wait_for_disconnect(request: Request, inputs: int) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    await _wait_for_slice(request, inputs)


async def _wait_for_slice(request: Request, inputs: int) -> None:
    # To take a large request back is work too, and hundreds of connections may be closed at once.
    await embedder_of(request).slices.next(inputs)


_PATHS_BY_KIND: dict[OutputKind, str] = {
    "dense": "/embed, /v1/embeddings or /v2/embed",
    "sparse": "/embed_sparse",
    "multivector": "/embed_all or /rerank",
    "reranker": "/rerank",
}
"""The paths that serve encoders of each kind."""


def selected_encoder(request: Request, config: EmbeddingConfig, *kinds: OutputKind) -> LoadedEncoder:
    """The encoder that ``config`` names, or the only one.

    Raises EncoderNotFound, also for an encoder of another fingerprint, NotOffered for one of another kind.
    """
    encoders = embedder_of(request).encoders
    encoder = encoders[resolve_encoder(encoders, config.encoder)]
    kind = encoder.manifest.kind
    if kind not in kinds:
        raise NotOffered(
            f"{encoder.manifest.name} is a {kind} encoder, which this path does not serve",
            value=request.url.path,
            next_step=f"Use {_PATHS_BY_KIND[kind]}, or name an encoder that is {' or '.join(kinds)}.",
        )
    check_fingerprint(encoder.manifest, config.fingerprint)
    return encoder


def as_input_list(inputs: Inputs) -> list[EmbedInput]:
    """The inputs as a list: a single text, or a single text's ids, become a list of one."""
    if isinstance(inputs, str):
        return [inputs]
    # The ids of a text are an array, as the body's reader makes them.
    return [inputs] if isinstance(inputs, array) else [*cast(list[EmbedInput], inputs)]


def refuse_token_ids(inputs: Sequence[EmbedInput], settings: ServiceSettings) -> None:
    """Raise BodyInvalid for token ids, unless the service was started to accept them.

    For APIs whose clients tokenize for OpenAI's models: ids of another tokenizer are those of other words.
    """
    if settings.access.accept_token_ids or all(isinstance(value, str) for value in inputs):
        return
    raise BodyInvalid(
        "the request holds token ids, which another tokenizer may have made",
        value="they are not embedded unless the service runs with --accept-token-ids",
        next_step="Send texts: in LangChain, OpenAIEmbeddings(check_embedding_ctx_length=False).",
    )


def check_special_tokens(added: bool | None) -> None:
    """Raise BodyInvalid for a request that turns special tokens off; None is the default."""
    if added is False:
        raise BodyInvalid(
            "texts are embedded with the special tokens of their encoder",
            value="add_special_tokens=false",
            next_step="Omit it.",
        )


def check_count(inputs: Sequence[object], max_inputs: int) -> None:
    """Raise EmptyInput without an input, TooManyInputs with more than ``max_inputs``."""
    if not inputs:
        raise EmptyInput("there is no text", next_step="Send at least one.")
    if len(inputs) > max_inputs:
        raise TooManyInputs(
            f"a request holds at most {max_inputs} texts",
            value=len(inputs),
            next_step="Split them over several requests.",
        )


async def json_response(
    build: Callable[[], object], result: EmbeddingResult, inputs: Sequence[EmbedInput]
) -> Response:
    """What ``build`` returns, as JSON; for large results both are made on a thread.

    The headers say what it took, as TEI's do, how many inputs were truncated, chunked, or could not be
    read, and which encoder it was.
    """
    outputs, timing = result.outputs, result.timing
    numbers = outputs.size if isinstance(outputs, np.ndarray) else sum(output.size for output in outputs)
    content = await off_loop(numbers, lambda: dump_json(build()))
    headers = [
        (b"x-compute-tokens", b"%d" % result.tokens),
        (b"x-compute-characters", b"%d" % sum([len(value) for value in inputs if isinstance(value, str)])),
        (b"x-total-time", b"%d" % round(timing.total * 1000)),
        (b"x-queue-time", b"%d" % round(timing.queued * 1000)),
        (b"x-inference-time", b"%d" % round(timing.inference * 1000)),
        (b"x-nestvec-truncated", b"%d" % result.truncated),
        (b"x-nestvec-chunked", b"%d" % result.chunked),
        (b"x-nestvec-failed", b"%d" % len(result.failed)),
    ]
    if result.fingerprint is not None:
        headers.append((FINGERPRINT_HEADER.encode(), result.fingerprint.encode()))
    return WrittenJson(content, headers)
