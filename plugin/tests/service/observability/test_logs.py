from __future__ import annotations

import io
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator

import httpx
import orjson
import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.middleware.request_log import printable_path
from nestvec.service.observability.logs import JsonFormatter, LogFormat, TextFormatter, set_log_format
from nestvec.service.server import bind, serve_in_thread
from nestvec_schemas.errors import EngineError


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that the root logger writes, from debug up."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    # httpx is the client of these tests, in the same process.
    for name in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


def test_one_json_line_a_request(embedder: Embedder, log: io.StringIO) -> None:
    set_log_format("json")
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        asked = {"inputs": ["w1", "w2"]}
        answer = httpx.post(f"{service}/embed", json=asked, headers={"x-request-id": "row-17"})
        made = httpx.get(f"{service}/info")
    assert answer.headers["x-request-id"] == "row-17"
    lines = [orjson.loads(line) for line in log.getvalue().splitlines()]
    first, second = [line for line in lines if line["logger"] == "nestvec.access"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("time"))
    assert first.pop("ms") > 0
    assert re.fullmatch(r"POST /embed 200, 2 texts, [0-9.]+ ms", first.pop("message"))
    assert first == {
        "level": "info",
        "logger": "nestvec.access",
        "request_id": "row-17",
        "method": "POST",
        "path": "/embed",
        "status": 200,
        "encoder": "tiny",
        "texts": 2,
    }
    assert re.fullmatch(r"[0-9a-f]{32}", second["request_id"])
    assert second["request_id"] == made.headers["x-request-id"]


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "caf\xe9", "a\tb"])
def test_an_id_that_is_not_printable_is_replaced(service: str, sent: str) -> None:
    answer = httpx.get(f"{service}/health", headers={"x-request-id": sent.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize("chosen", ["text", "json"])
def test_no_text_and_no_key_is_logged(embedder: Embedder, log: io.StringIO, chosen: LogFormat) -> None:
    set_log_format(chosen)
    engine = embedder.engine
    assert isinstance(engine, FakeEngine)
    headers = {"authorization": "Bearer k-e-y", "content-type": "application/json"}
    bodies = (
        b'{"%s":"%s"}',
        b'{"%s":"%s"',
        b'{"%s":"%s","dimensions":99}',
        b'{"%s":{"%s":1}}',
        b'{"%s":"\xff%s"}',
    )
    fresh = (b"w811 w%d" % number for number in range(1000))
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        for engine.failure in (None, EngineError("out", next_step="Wait."), RuntimeError("fell over")):
            for path in ("/embed", "/v1/embeddings", "/v2/embed", "/tokenize", "/nope"):
                field = b"input" if path == "/v1/embeddings" else b"inputs"
                for body in bodies:
                    content = body % (field, next(fresh))
                    httpx.post(f"{service}{path}?note=w813", content=content, headers=headers)
    written = log.getvalue()
    assert "fell over" in written
    assert written.count("nestvec.access") == 75
    assert not re.search("w81[13]|k-e-y|inputs", written)


def test_an_unforeseen_error_is_logged_once_and_answered_with_its_id(
    embedder: Embedder, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_log_format("json")

    async def broken(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(embedder, "embed", broken)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        answer = httpx.post(f"{service}/embed", json={"inputs": "w1"})
    assert answer.status_code == 424
    assert answer.json()["error"] == "the service failed. See its log."
    lines = [orjson.loads(line) for line in log.getvalue().splitlines()]
    (told,) = [line for line in lines if "exception" in line]
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["exception"].endswith("LookupError: a bug")


def test_a_client_that_goes_away_is_one_line(embedder: Embedder, log: io.StringIO) -> None:
    set_log_format("text")
    engine = embedder.engine
    assert isinstance(engine, FakeEngine)
    engine.seconds = 3600.0
    body = b'{"inputs": "w1"}'
    head = b"POST /embed HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        with socket.create_connection(("127.0.0.1", int(service.rpartition(":")[2])), timeout=120) as client:
            client.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            assert eventually(lambda: bool(engine.batches))
        assert eventually(lambda: "nestvec.access" in log.getvalue())
    assert re.search(r"INFO nestvec.access: POST /embed 499, 1 texts, .* ms \[[0-9a-f]{32}\]", log.getvalue())
    assert "Traceback" not in log.getvalue()


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(12_000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("nestvec.test", logging.WARNING, __file__, 1, message, (), None)


def test_what_utf8_cannot_write_is_escaped() -> None:
    assert orjson.loads(JsonFormatter().format(record("half a pair: \ud800")))["message"].endswith("\\ud800")
    assert TextFormatter().format(record("all well")) == "WARNING nestvec.test: all well"


def test_a_path_cannot_forge_a_line() -> None:
    assert printable_path("/embed\nERROR forged\x1b[0m") == "/embed\\nERROR forged\\x1b[0m"
    assert len(printable_path("/\u20ac" * 5000)) == 200
