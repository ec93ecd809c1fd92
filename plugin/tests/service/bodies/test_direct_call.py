"""Endpoints that are called without FastAPI between answer as FastAPI would have them answer."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.testclient import TestClient
from pydantic import BaseModel

from nestvec.service.app import _ROUTERS
from nestvec.service.bodies.direct_call import direct_call
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.embedder import Embedder

HOT_PATHS = ("/embed", "/v1/embeddings", "/v2/embed", "/rerank", "/embed_sparse")


class Body(BaseModel):
    number: int = 0


async def with_query(body: Body, request: Request, limit: Annotated[int, Query(le=9)] = 3) -> Response:
    return Response(f"{body.number} {limit} {request.method}")


async def with_header(body: Body, agent: Annotated[str, Header()] = "") -> Response:
    return Response(agent)


async def with_model(body: Body) -> dict[str, Any]:
    return {}


def test_the_paths_of_queries_are_called_directly() -> None:
    routes = {
        route.path: route for router in _ROUTERS for route in router.routes if isinstance(route, BodyRoute)
    }
    for path in HOT_PATHS:
        assert direct_call(routes[path].dependant) is not None, path


@pytest.mark.parametrize("endpoint", [with_header, with_model])
def test_what_takes_or_returns_more_is_left_to_fastapi(endpoint: Any) -> None:
    router = APIRouter(route_class=BodyRoute)
    router.post("/")(endpoint)
    (route,) = router.routes
    assert isinstance(route, BodyRoute)
    assert direct_call(route.dependant) is None


@pytest.mark.parametrize(
    ("query", "body"), [("", {}), ("?limit=7", {"number": 1}), ("?limit=70", {}), ("", {"number": "x"})]
)
def test_answers_and_errors_are_those_of_fastapi(
    query: str, body: dict[str, Any], embedder: Embedder
) -> None:
    answers = []
    for router in (APIRouter(route_class=BodyRoute), APIRouter()):
        router.post("/")(with_query)
        app = FastAPI()
        app.state.embedder = embedder
        app.include_router(router)
        answer = TestClient(app).post(f"/{query}", json=body)
        answers.append((answer.status_code, answer.text))
    assert answers[0] == answers[1]
