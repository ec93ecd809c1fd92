from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from nestvec.service.client import ask_info, is_loopback
from nestvec.service.server import address, bind
from nestvec_schemas.errors import EncoderNotFound, ServiceRefused, ServiceUnreachable


class Stranger(http.server.BaseHTTPRequestHandler):
    """A web server that is not ours."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def stranger() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_a_service_says(service: str) -> None:
    info = ask_info(service)
    assert info.encoder("tiny", service).dims == (16, 8, 4)
    assert info.encoder("tiny", service).prompts == {"query": "w1 ", "document": ""}
    with pytest.raises(EncoderNotFound, match=r"no encoder of this name: tinny\. There: tiny\. Did you mean"):
        info.encoder("tinny", service)


def test_nobody_answers() -> None:
    with bind("127.0.0.1", 0) as listener:
        gone = address(listener)
    with pytest.raises(ServiceUnreachable, match=r"no service answers at http.*Start it: nestvec"):
        ask_info(gone)


def test_somebody_else_answers(stranger: str) -> None:
    with pytest.raises(ServiceRefused, match=r"is not a nestvec service.*Correct the address"):
        ask_info(stranger)


@pytest.mark.parametrize(
    ("service", "loopback"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("http://127.9.9.9", True),
        ("http://10.0.0.1:8080", False),
        ("http://embeddings:8080", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_loopback(service: str, loopback: bool) -> None:
    assert is_loopback(service) is loopback
