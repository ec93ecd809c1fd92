"""Query strings that were read before: Milvus sends the same one with every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, request_params_to_args
from fastapi.exceptions import RequestValidationError

T = TypeVar("T")

_CACHED: Final = 256
"""Query strings that are kept, of at most 4 KiB each."""


class CachedQuery(Generic[T]):
    """A dependency for ``Depends`` that reads each query string once, by a function as FastAPI takes it.

    To read it takes FastAPI about as long as all else that it does with a request. What the function returns
    must be immutable. Raises RequestValidationError.
    """

    def __init__(self, read: Callable[..., Awaitable[T]]) -> None:
        """``read`` has query parameters alone."""
        self._read = read
        self.described: Dependant = get_dependant(path="/", call=read)
        """The parameters, which FastAPI does not see in this object."""
        self._by_query_string: dict[bytes, T] = {}

    async def __call__(self, request: Request) -> T:
        query_string: bytes = request.scope["query_string"]
        by_string = self._by_query_string
        if query_string not in by_string:
            values = read_query(request, self.described)
            if len(by_string) >= _CACHED:
                by_string.clear()
            by_string[query_string] = await self._read(**values)
        return by_string[query_string]

    def openapi_parameters(self) -> list[dict[str, Any]]:
        """The parameters as an OpenAPI document has them."""
        app = FastAPI()
        app.add_api_route("/", _nothing, dependencies=[Depends(self._read)])
        parameters: list[dict[str, Any]] = app.openapi()["paths"]["/"]["get"]["parameters"]
        return parameters


def read_query(request: Request, dependant: Dependant) -> dict[str, Any]:
    """The values of an endpoint's query parameters by name. Raises RequestValidationError."""
    values, errors = request_params_to_args(dependant.query_params, request.query_params)
    if errors:
        raise RequestValidationError(errors)
    return values


async def _nothing() -> None: ...
