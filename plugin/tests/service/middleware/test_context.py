from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from nestvec.service.batching.admission import RequestAdmission
from nestvec.service.bodies.memory import BodyMemory
from nestvec.service.catalog.catalog import EncoderCatalog
from nestvec.service.middleware.allowed_hosts import AllowedHosts
from nestvec.service.middleware.api_keys import ApiKeys
from nestvec.service.middleware.context import ARRIVED, allowed_seconds
from nestvec.service.middleware.request_pass import RequestChecks, RequestPass
from nestvec.service.request_context import RequestContext, current_context
from nestvec.service.settings import LoadLimits, ServiceSettings
from nestvec_schemas.errors import BodyInvalid

LIMITS = LoadLimits(deadline_seconds=25, max_deadline_seconds=55)


class Recorder:
    """An app that records the context of each request and answers nothing."""

    def __init__(self) -> None:
        self.contexts: list[RequestContext] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.contexts.append(current_context())


WHOLE = {
    "type": "http",
    "http_version": "1.0",
    "method": "GET",
    "path": "/embed",
    "query_string": b"",
    "headers": [],
}


async def _nothing(*_: object) -> None: ...


def scope(path: str, query: bytes, headers: Mapping[str, str] | None = None) -> Scope:
    encoded = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return {"type": "http", "path": path, "query_string": query, "headers": encoded}


def contexts(*scopes: Mapping[str, object], keys: ApiKeys | None = None) -> list[RequestContext]:
    """The contexts that requests have, each in a task of its own."""
    recorder = Recorder()
    settings = ServiceSettings(load=LIMITS)
    checks = RequestChecks(
        lambda: settings,
        AllowedHosts("*"),
        keys,
        BodyMemory(1 << 20),
        RequestAdmission(LIMITS),
        EncoderCatalog([]),
    )
    app = RequestPass({}, checks).before(recorder)

    async def main() -> None:
        for scope in scopes:
            whole = WHOLE | dict(scope)
            await asyncio.create_task(app(whole, _nothing, _nothing))  # type: ignore[arg-type]

    asyncio.run(main())
    return recorder.contexts


@pytest.mark.parametrize(
    ("path", "query", "seconds"),
    [
        ("/embed", b"", 25),
        ("/embed", b"encoder=minilm&deadline=8.5", 8.5),
        ("/embed", b"deadline=600", 55),
        ("/v1/embeddings", b"", 55),
        ("/embeddings", b"model=a", 55),
        ("/v1/rerank", b"deadline=3", 3),
        ("/admin/reload", b"", 600),
        ("/admin/reload", b"deadline=8", 8),
    ],
)
def test_the_deadline_is_stated_or_follows_the_path(path: str, query: bytes, seconds: float) -> None:
    assert allowed_seconds(scope(path, query), LIMITS) == seconds


GO = {"user-agent": "Go-http-client/1.1", "content-type": "application/json", "accept-encoding": "gzip"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/embed", GO),
        ("/v1/embeddings", GO | {"authorization": "Bearer key"}),
        ("/v2/embed", GO | {"authorization": "bearer key", "accept": "application/json"}),
        ("/v1/rerank", GO | {"user-agent": "Go-http-client/2.0", "x-forwarded-for": "10.0.0.1"}),
    ],
)
def test_milvus_has_time_for_three_tries(path: str, headers: dict[str, str]) -> None:
    assert allowed_seconds(scope(path, b"", headers), LIMITS) == 8.4
    assert allowed_seconds(scope(path, b"deadline=20", headers), LIMITS) == 20
    assert allowed_seconds(scope(path, b"", headers), LoadLimits(milvus_deadline_seconds=30)) == 30
    short = LoadLimits(deadline_seconds=2, max_deadline_seconds=5)
    assert allowed_seconds(scope(path, b"", headers), short) == 5


@pytest.mark.parametrize(
    "headers",
    [
        {},
        GO | {"user-agent": "OpenAI/Go 1.12.0"},
        GO | {"authorization": "Bearer key", "accept": "application/json"},
        GO | {"content-type": "application/json; charset=utf-8"},
        GO | {"user-agent": "python-requests/2.32.3", "authorization": "bearer key"},
    ],
)
def test_other_clients_are_not_taken_for_milvus(headers: dict[str, str]) -> None:
    assert allowed_seconds(scope("/v1/embeddings", b"", headers), LIMITS) == 55
    assert allowed_seconds(scope("/embed", b"", headers), LIMITS) == 25


def test_an_operator_s_request_is_not_milvus_s() -> None:
    assert allowed_seconds(scope("/admin/reload", b"", GO), LIMITS) == 600


@pytest.mark.parametrize("value", [b"", b"soon", b"0", b"-1", b"nan", b"inf", b"1&deadline=2", b"9" * 4000])
def test_a_deadline_that_is_no_number_of_seconds_is_refused(value: bytes) -> None:
    with pytest.raises(BodyInvalid, match=r"not a number of seconds.*deadline=8\.5") as refused:
        allowed_seconds(scope("/embed", b"deadline=" + value), LIMITS)
    assert len(str(refused.value)) < 300


def test_time_runs_from_the_first_byte() -> None:
    (context,) = contexts({ARRIVED: 1e6, "query_string": b"deadline=8"})
    assert (context.arrived, context.deadline, context.allowed_seconds) == (1e6, 1e6 + 8, 8)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_without_keys_a_client_is_its_machine(address: str, client: str) -> None:
    assert contexts({"client": (address, 1)})[0].client == client


def test_with_keys_a_client_is_its_key(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("secret-a\nsecret-b\n")
    first, second, again = contexts(
        *(
            {"client": (f"10.0.0.{number}", 1), "headers": [(b"authorization", b"Bearer " + key)]}
            for number, key in enumerate((b"secret-a", b"secret-b", b"secret-a"))
        ),
        keys=ApiKeys(file),
    )
    assert first.client == again.client != second.client
    assert "secret" not in first.client


def test_outside_of_requests_there_is_no_deadline() -> None:
    assert current_context() == RequestContext("", -math.inf, math.inf)
    current_context().check_deadline("it worked")


def test_a_client_without_an_address_has_the_share_of_one() -> None:
    (context,) = contexts({"client": None})
    assert context.client == "unknown"
