"""The route of an endpoint with a body: reads it within limits, then hands it to FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import chain
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from nestvec.service.batching.threads import ClientThreads
from nestvec.service.bodies.cached_query import CachedQuery
from nestvec.service.bodies.content_headers import ContentHeaders
from nestvec.service.bodies.direct_call import DirectCall, direct_call
from nestvec.service.bodies.fields import FieldReaders, field_readers
from nestvec.service.bodies.json_scanner import EXAMPLE
from nestvec.service.bodies.query_string import query_check
from nestvec.service.bodies.readers import InputLimits
from nestvec.service.ranking import MAX_DOCUMENTS
from nestvec.service.request_context import current_context
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import BodyNotJson

INLINE_BYTES: Final = 64 << 10
"""Bodies of at most this size are read on the event loop: in a few milliseconds at worst."""

_threads: Final = ClientThreads("nestvec-bodies")

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class BodyRoute(APIRoute):
    """For ``APIRouter(route_class=BodyRoute)``: endpoints take a pydantic model as ``body``, as with FastAPI.

    Query strings are checked, see ``query_string``. Fields of the types in ``fields`` (``Inputs``, ``Texts``,
    …) are read and checked step by step, large bodies on a thread; the model then validates all other fields,
    which are small. Raises BodyTypeUnsupported, BodyNotJson, BodyInvalid, TooManyInputs, InputTooLong;
    ClientDisconnect.
    """

    direct: _Handler | None = None
    """Answers a request to this path without the app's router; None where FastAPI has to. Raises what the
    endpoint does, and RequestValidationError."""

    def get_route_handler(self) -> _Handler:
        handle = super().get_route_handler()
        cached = [dependency.call for dependency in self.dependant.dependencies]
        parameters = [call.openapi_parameters() for call in cached if isinstance(call, CachedQuery)]
        if parameters:
            self.openapi_extra = {"parameters": list(chain.from_iterable(parameters))}
        check_query = query_check(self.dependant)
        if self.body_field is None:

            async def handle_query(request: Request) -> Response:
                check_query(request.scope["query_string"])
                return await handle(request)

            return handle_query
        model = self.body_field.field_info.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"the body of {self.path} must be one pydantic model")
        readers, call = field_readers(model), direct_call(self.dependant)
        content, latest = ContentHeaders(), _LatestLimits()

        async def read(request: Request) -> dict[str, Any]:
            scope = request.scope
            check_query(scope["query_string"])
            content.check(scope["headers"])
            limits = latest.of(scope["app"].state.embedder.settings)
            return await read_body(request.receive, readers, limits)

        async def handle_body(request: Request) -> Response:
            values = await read(request)
            if call is None:
                return await handle(_ReadRequest(request, values))
            try:
                body = model.model_validate(values)
            except ValidationError:  # which FastAPI raises with the place in the request
                return await handle(_ReadRequest(request, values))
            return await call(request, body)

        if call is not None:
            self.direct = _direct_handler(read, model, call)
        return handle_body


def _direct_handler(
    read: Callable[[Request], Awaitable[dict[str, Any]]], model: type[BaseModel], call: DirectCall
) -> _Handler:
    async def handle(request: Request) -> Response:
        values = await read(request)
        try:
            body = model.model_validate(values)
        except ValidationError as error:
            # As FastAPI raises it, with the place in the request.
            errors = error.errors(include_url=False)
            raise RequestValidationError(
                [{**detail, "loc": ("body", *detail["loc"])} for detail in errors]
            ) from error
        return await call(request, body)

    return handle


class _ReadRequest(Request):
    """A request whose body has been read: FastAPI gets its values, and the bytes are gone."""

    def __init__(self, request: Request, values: dict[str, Any]) -> None:
        super().__init__(request.scope, request.receive)
        self._values = values

    async def body(self) -> bytes:
        return b"read"

    async def json(self) -> dict[str, Any]:
        return self._values


async def read_body(receive: Receive, readers: FieldReaders, limits: InputLimits) -> dict[str, Any]:
    """The fields of a body that arrives by ``receive``. Raises what ``BodyRoute`` does."""
    data = await _receive_all(receive)
    if not data:
        raise BodyNotJson("the body is empty", next_step=EXAMPLE)
    if len(data) <= INLINE_BYTES:
        return readers.read_small(data, limits)
    read = partial(readers.read, data, limits)
    del data  # the call alone holds it, until it is read
    return await _threads.run(current_context().client, read)


async def _receive_all(receive: Receive) -> bytes | bytearray:
    message = await receive()
    data: bytes | bytearray = message.get("body", b"")
    while message["type"] == "http.request" and message.get("more_body", False):
        message = await receive()
        # Grows in place, where joining the parts in the end would hold them twice.
        data = data if isinstance(data, bytearray) else bytearray(data)
        data += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return data


class _LatestLimits:
    """The limits by the settings of the last request, which are mostly those of the next."""

    def __init__(self) -> None:
        self._latest: tuple[ServiceSettings, InputLimits] | None = None

    def of(self, settings: ServiceSettings) -> InputLimits:
        """The limits of one request."""
        if self._latest is None or self._latest[0] is not settings:
            self._latest = settings, input_limits(settings)
        return self._latest[1]


def input_limits(settings: ServiceSettings) -> InputLimits:
    """The limits of one request."""
    limits = settings.load.bodies
    return InputLimits(
        inputs=settings.load.inputs,
        documents=MAX_DOCUMENTS,
        text_characters=limits.text_characters,
        characters=limits.characters,
        text_ids=limits.text_ids,
        ids=limits.ids,
    )
