from __future__ import annotations

import asyncio
import json
import logging
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from nestvec.client.service_client import fetch_info
from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.server import bind, create_server, listening_url, serve_in_thread
from nestvec.service.settings import AccessSettings, ConnectionLimits, LoadLimits
from nestvec_schemas.errors import PortInUse, ServiceError, ServiceUnreachable


def test_a_port_in_use() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"listens on this port: 127\.0\.0\.1:{port}\. Stop it"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("203.0.113.1", 0), ("127.0.0.1", 70000), ("no such host", 0)])
def test_an_address_that_is_not_ours(host: str, port: int) -> None:
    with pytest.raises(ServiceError, match=r"cannot listen on this address.*Use an address"):
        bind(host, port)


def test_the_port_is_free_again_after_the_block(embedder: Embedder) -> None:
    listener = bind("127.0.0.1", 0)
    with serve_in_thread(embedder, listener) as service:
        assert service == listening_url(listener)
        assert httpx.get(f"{service}/health").status_code == 200
    assert listener.fileno() == -1, "the listening socket is closed"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    openssl = shutil.which("openssl")
    assert openssl
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-subj", "/CN=nestvec", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, *made, *named, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def test_tls(embedder: Embedder, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = certificate
    embedder.settings = replace(embedder.settings, access=AccessSettings(tls_cert=cert, tls_key=key))
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        assert service.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(cert))
        assert httpx.post(f"{service}/embed", json={"inputs": "w1"}, verify=trusted).status_code == 200
        with pytest.raises(ServiceUnreachable, match=r"CERTIFICATE_VERIFY_FAILED"):
            fetch_info(service)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert fetch_info(service).encoders


def test_tls_files_that_cannot_be_used(embedder: Embedder, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    locked = key.with_name("locked.pem")
    openssl = shutil.which("openssl")
    assert openssl
    subprocess.run(
        [openssl, "pkey", "-in", key, "-out", locked, "-aes256", "-passout", "pass:word"], check=True
    )
    other = key.with_name("absent.pem")
    for guard, message in (
        (AccessSettings(tls_cert=cert), r"only one of them is set: .*cert\.pem\. Set both"),
        (AccessSettings(tls_key=key), r"only one of them is set: .*key\.pem\. Set both"),
        (
            AccessSettings(tls_cert=cert, tls_key=other),
            r"No such file or directory\. Use a certificate chain",
        ),
        (
            AccessSettings(tls_cert=key, tls_key=cert),
            r"cannot be used with the key .* Use a certificate chain",
        ),
        (
            AccessSettings(tls_cert=cert, tls_key=locked),
            r"cannot be used with the key .*locked.* unencrypted",
        ),
    ):
        embedder.settings = replace(embedder.settings, access=guard)
        with pytest.raises(ServiceError, match=message):
            create_server(embedder)


@contextmanager
def raw(service: str) -> Iterator[socket.socket]:
    """A connection that is written to by hand."""
    host, port = service.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        yield connection


def told(connection: socket.socket) -> bytes:
    """All that comes until the other side hangs up."""
    received = b""
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not data:
            return received
        received += data


def drip(connection: socket.socket, data: bytes, stop: threading.Event) -> None:
    while not stop.wait(0.05):
        try:
            connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def impatient(embedder: Embedder) -> Iterator[str]:
    """A service that waits 0.3 s for a body and a second for headers."""
    limits = ConnectionLimits(body_seconds=0.3, keep_alive_seconds=1, header_bytes=4096)
    embedder.settings = replace(embedder.settings, connections=limits)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        yield service


_START = b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
_HEAD = _START + b"content-length: 1000\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b""),
        (b"POST /embed HTTP/1.1\r\n", b"a: b\r\n"),
        (b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n", b""),
        (b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\nGET /he", b"a"),
    ],
    ids=["nothing", "dripping headers", "nothing after an answer", "dripping after an answer"],
)
def test_a_connection_without_a_request_is_hung_up_on(impatient: str, first: bytes, then: bytes) -> None:
    stop = threading.Event()
    with raw(impatient) as connection:
        connection.sendall(first)
        dripping = threading.Thread(target=drip, args=(connection, then, stop))
        dripping.start()
        try:
            received = told(connection)
        finally:
            stop.set()
            dripping.join()
    assert received.count(b"HTTP/1.1 200") == first.count(b"/health")
    assert httpx.get(f"{impatient}/health").status_code == 200


@pytest.mark.parametrize("then", [b"", b" "], ids=["half open", "dripping"])
def test_a_body_that_does_not_come_is_answered_with_408(impatient: str, then: bytes) -> None:
    stop = threading.Event()
    with raw(impatient) as connection:
        connection.sendall(_HEAD + b'{"inputs":')
        dripping = threading.Thread(target=drip, args=(connection, then, stop))
        dripping.start()
        try:
            received = told(connection)
        finally:
            stop.set()
            dripping.join()
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not arrive within 0.3 seconds: " in received


def test_headers_without_end_are_refused(impatient: str) -> None:
    with raw(impatient) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-a: ")
        stop = threading.Event()
        dripping = threading.Thread(target=drip, args=(connection, b"a" * 2000, stop))
        dripping.start()
        received = told(connection)
        stop.set()
        dripping.join()
    assert received.startswith(b"HTTP/1.1 431 ")
    whole = {"x-a": "a" * 3000}
    assert httpx.get(f"{impatient}/health", headers=whole).status_code == 200
    body = {"inputs": ["w1"] * 2000}
    assert httpx.post(f"{impatient}/embed", json=body).status_code == 200


def test_trailers_without_end_are_hung_up_on(embedder: Embedder) -> None:
    embedder.settings = replace(embedder.settings, load=LoadLimits(body_bytes=10_000))
    chunked = _HEAD.replace(b"content-length: 1000", b"transfer-encoding: chunked")
    stop = threading.Event()
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service, raw(service) as connection:
        connection.sendall(chunked + b"1\r\n{\r\n0\r\nx-a: ")
        dripping = threading.Thread(target=drip, args=(connection, b"a" * 50_000, stop))
        dripping.start()
        received = told(connection)
        stop.set()
        dripping.join()
    assert received == b""


def test_an_answer_that_nobody_fetches_is_given_up(embedder: Embedder) -> None:
    embedder.settings = replace(embedder.settings, connections=ConnectionLimits(keep_alive_seconds=1))
    body = b'{"inputs":[' + b",".join(b'"w1"' for _ in range(2000)) + b"]}"
    head = _START + b"content-length: %d\r\n\r\n"
    server = create_server(embedder)
    listener = bind("127.0.0.1", 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    thread = threading.Thread(target=server.run, args=([listener],))
    service = listening_url(listener)
    thread.start()
    try:
        with raw(service) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(head % len(body) + body)
            assert _eventually(lambda: len(server.server_state.connections) == 1)
            assert _eventually(lambda: not server.server_state.connections)
    finally:
        server.should_exit = True
        thread.join()


def _eventually(true: Any) -> bool:
    for _ in range(12_000):
        if true():
            return True
        time.sleep(0.01)
    return False


def test_answers_are_sent_at_once(embedder: Embedder) -> None:
    listener = bind("127.0.0.1", 0)
    server = create_server(embedder)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        with raw(listening_url(listener)):
            assert _eventually(lambda: server.server_state.connections)
            (connection,) = server.server_state.connections
            taken = connection.transport.get_extra_info("socket")
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        server.should_exit = True
        thread.join()


def test_what_was_taken_is_finished(embedder: Embedder) -> None:
    engine = embedder.engine
    assert isinstance(engine, FakeEngine)
    engine.seconds = 0.5
    listener = bind("127.0.0.1", 0)
    server = create_server(embedder)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    service = listening_url(listener)
    thread.start()
    with ThreadPoolExecutor(50) as pool:
        # Five batches at least: the last ones begin long after the signal.
        asked = [
            pool.submit(
                httpx.post, f"{service}/embed", json={"inputs": [f"w{i} w{j}" for j in range(8)]}, timeout=60
            )
            for i in range(50)
        ]
        state = server.server_state
        assert _eventually(lambda: len(state.tasks) + state.total_requests == 50)
        server.handle_exit(signal.SIGTERM, None)
        assert _eventually(lambda: _refused(service))
        answers = [one.result() for one in asked]
    thread.join(120)
    assert not thread.is_alive()
    server.handle_exit(signal.SIGTERM, None)  # uvicorn raises it again at its end
    assert not server.was_forced
    assert [one.status_code for one in answers] == [200] * 50
    assert {len(one.json()) for one in answers} == {8}
    assert len(engine.batches) >= 5


def test_a_second_signal_does_not_wait_and_says_so_to_who_waits(
    embedder: Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    engine = embedder.engine
    assert isinstance(engine, FakeEngine)
    engine.seconds = 3600.0
    listener = bind("127.0.0.1", 0)
    server = create_server(embedder)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    with raw(listening_url(listener)) as connection:
        connection.sendall(_HEAD.replace(b"1000", b"15") + b'{"inputs":"w1"}')
        assert _eventually(lambda: engine.batches)
        server.handle_exit(signal.SIGTERM, None)
        assert not server.force_exit
        server.handle_exit(signal.SIGTERM, None)
        answer = told(connection)
        thread.join(120)
        assert not thread.is_alive()
        assert server.was_forced
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in head.lower()
    assert "being stopped" in json.loads(body)["error"]
    # What the server did on purpose is no error, with a traceback of each request and of the app.
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_second_signal_does_not_wait_for_the_engine(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_closing = threading.Event()

    async def close() -> None:
        is_closing.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(embedder.engine, "close", close)
    server = create_server(embedder)
    thread = threading.Thread(target=server.run, args=([bind("127.0.0.1", 0)],), daemon=True)
    thread.start()
    assert _eventually(lambda: server.started)
    server.handle_exit(signal.SIGTERM, None)
    assert is_closing.wait(120)
    server.handle_exit(signal.SIGTERM, None)
    thread.join(120)
    assert not thread.is_alive()
    assert server.was_forced
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_the_end_is_bounded(embedder: Embedder) -> None:
    engine = embedder.engine
    assert isinstance(engine, FakeEngine)
    engine.seconds = 3600.0
    embedder.settings = replace(embedder.settings, connections=ConnectionLimits(shutdown_seconds=1))
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service, raw(service) as connection:
        connection.sendall(_HEAD.replace(b"1000", b"15") + b'{"inputs":"w1"}')
        assert _eventually(lambda: engine.batches)
    assert _refused(service)


def _refused(service: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(service.rpartition(":")[2]))) != 0
