"""Calls endpoints without FastAPI between, where all that they take is already at hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from nestvec.service.bodies.cached_query import CachedQuery, read_query

DirectCall = Callable[[Request, BaseModel], Awaitable[Response]]
"""Calls an endpoint with a request and its validated body."""


def direct_call(dependant: Dependant) -> DirectCall | None:
    """The call of an endpoint that takes a body, the request and query parameters, and returns a response.

    None for an endpoint that takes anything else: FastAPI calls it, which costs a fifth of a lone query.
    """
    endpoint, queries = dependant.call, _cached_queries(dependant)
    if endpoint is None or queries is None or not _returns_response(endpoint):
        return None
    (body_name,) = (parameter.name for parameter in dependant.body_params)
    request_name, reads_query = dependant.request_param_name, bool(dependant.query_params)

    async def call(request: Request, body: BaseModel) -> Response:
        values: dict[str, Any] = {name: await query(request) for name, query in queries.items()}
        if reads_query:
            values |= read_query(request, dependant)
        values[body_name] = body
        if request_name is not None:
            values[request_name] = request
        response: Response = await endpoint(**values)
        return response

    return call


def _cached_queries(dependant: Dependant) -> dict[str, CachedQuery[Any]] | None:
    """The cached query strings by parameter; None if the endpoint has a parameter of another kind."""
    others = (
        dependant.path_params,
        dependant.header_params,
        dependant.cookie_params,
        dependant.websocket_param_name,
        dependant.http_connection_param_name,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
    )
    if any(others) or len(dependant.body_params) != 1:
        return None
    queries = {
        dependency.name: dependency.call
        for dependency in dependant.dependencies
        if dependency.name is not None and isinstance(dependency.call, CachedQuery)
    }
    return queries if len(queries) == len(dependant.dependencies) else None


def _returns_response(endpoint: Callable[..., Any]) -> bool:
    returned = get_type_hints(endpoint).get("return")
    return iscoroutinefunction(endpoint) and isinstance(returned, type) and issubclass(returned, Response)
