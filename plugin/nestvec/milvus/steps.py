"""Operations on Milvus that are written once and run by sync and async clients.

An operation is a generator: it yields a request and is sent the response. Only ``drive`` and ``adrive`` know
which kind of client runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pymilvus import AsyncMilvusClient, MilvusClient

from nestvec.milvus.connection import CALL_ERRORS, raise_store_error
from nestvec.milvus.pymilvus_features import client_method
from nestvec_schemas.errors import NestvecError

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One call of a pymilvus client, sync or async."""

    doing: str
    """The operation, as an error names it."""

    method: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BlockingCall:
    """Work that blocks, with a client of its own: many calls, files, the embedding service."""

    run: Callable[[MilvusClient], Any]
    """Raises no other errors than NestvecError."""


Request = Call | BlockingCall
Steps = Generator[Request, Any, T]


def call(doing: str, method: str, *args: Any, **kwargs: Any) -> Call:
    """A Call, with its arguments written as in the call itself."""
    return Call(doing, method, args, kwargs)


def drive(client: MilvusClient, steps: Steps[T]) -> T:
    """The result of ``steps``. Raises what they raise, and the errors of ``raise_store_error``."""
    answer: Any = None
    error: NestvecError | None = None
    while True:
        try:
            request = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            value: T = end.value
            return value
        answer, error = None, None
        try:
            answer = _run_request(client, request)
        except NestvecError as raised:
            error = raised


async def adrive(client: AsyncMilvusClient, blocking: Callable[[], MilvusClient], steps: Steps[T]) -> T:
    """Async version of ``drive``; blocking calls run in a thread, with the client that ``blocking`` returns
    there."""
    answer: Any = None
    error: NestvecError | None = None
    while True:
        try:
            request = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            value: T = end.value
            return value
        answer, error = None, None
        try:
            answer = await _arun_request(client, blocking, request)
        except NestvecError as raised:
            error = raised


def _run_request(client: MilvusClient, request: Request) -> Any:
    if isinstance(request, BlockingCall):
        return request.run(client)
    try:
        return client_method(client, request.method)(*request.args, **request.kwargs)
    except CALL_ERRORS as error:
        raise_store_error(request.doing, error)


async def _arun_request(
    client: AsyncMilvusClient, blocking: Callable[[], MilvusClient], request: Request
) -> Any:
    if isinstance(request, BlockingCall):
        work = request.run
        return await asyncio.to_thread(lambda: work(blocking()))
    try:
        return await client_method(client, request.method)(*request.args, **request.kwargs)
    except CALL_ERRORS as error:
        raise_store_error(request.doing, error)
