from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.testclient import TestClient

from nestvec.service.bodies.cached_query import CachedQuery
from nestvec.service.bodies.route import BodyRoute

reads: list[int | None] = []


async def _read(number: Annotated[int | None, Query(alias="n", ge=0)] = None) -> tuple[int | None]:
    reads.append(number)
    return (number,)


def client() -> TestClient:
    reads.clear()
    router = APIRouter(route_class=BodyRoute)

    @router.get("/")
    async def endpoint(
        query: Annotated[tuple[int | None], Depends(CachedQuery(_read))], other: int = 0
    ) -> list[int | None]:
        return [*query, other]

    app = FastAPI()
    app.include_router(router)
    return TestClient(app)


def test_a_query_string_is_read_once() -> None:
    http = client()
    for _ in range(3):
        assert http.get("/?n=1").json() == [1, 0]
        assert http.get("/?n=2&other=5").json() == [2, 5]
        assert http.get("/").json() == [None, 0]
    assert sorted(map(str, reads)) == ["1", "2", "None"]


def test_a_wrong_one_is_refused_each_time() -> None:
    http = client()
    assert [http.get("/?n=-1").status_code for _ in range(2)] == [422, 422]
    assert reads == []


def test_only_so_many_are_kept() -> None:
    http = client()
    for _ in range(2):
        for number in range(300):
            assert http.get(f"/?n={number}").json() == [number, 0]
    assert 300 < len(reads) <= 600


def test_the_parameters_stay_in_the_openapi_document() -> None:
    parameters = client().get("/openapi.json").json()["paths"]["/"]["get"]["parameters"]
    assert sorted(parameter["name"] for parameter in parameters) == ["n", "other"]
