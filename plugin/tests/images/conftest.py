"""Web servers on loopback that behave as a test tells them to."""

from __future__ import annotations

import io
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """A server: its ``answers`` by path, and what was ``asked`` of it over which ``connections``."""

    url: str
    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)

    def serve(self, path: str, data: bytes, **headers: str) -> None:
        """Answer at ``path`` with ``data``."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            for name, value in {"Content_Length": str(len(data)), **headers}.items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            request.wfile.write(data)

        self.answers[path] = answer

    def redirect(self, path: str, target: str, status: int = 302) -> None:
        """Answer at ``path`` with a redirect, and set a cookie."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            request.send_header("Location", target)
            request.send_header("Set-Cookie", "session=1; Path=/")
            request.send_header("Content-Length", "0")
            request.end_headers()

        self.answers[path] = answer


@pytest.fixture
def png() -> bytes:
    """An image of 12 × 8 pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 8), (200, 30, 40)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    """Starts a site at an address of loopback, with TLS where a context is given."""
    running: list[ThreadingHTTPServer] = []

    def make(host: str = "127.0.0.1", tls: Any = None) -> Site:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                site.connections.add(self.client_address[1])
                answer = site.answers.get(self.path.partition("?")[0])
                if answer is None:
                    self.send_error(404)
                    return
                try:
                    answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        server = Server((host, 0), Handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        port = server.server_address[1]
        site = Site(f"{'https' if tls else 'http'}://{host}:{port}", port)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        running.append(server)
        return site

    yield make
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(make_site: Callable[..., Site], png: bytes) -> Site:
    """A plain HTTP site with one image, ``/cat.png``."""
    made = make_site()
    made.serve("/cat.png", png)
    return made


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What names resolve to, look-up by look-up; the last answer stays."""
    told: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in told:
            return real(host, port, *rest, **options)
        answers = told[name].pop(0) if len(told[name]) > 1 else told[name][0]
        kinds = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [
            (kinds[ipaddress.ip_address(ip).version], socket.SOCK_STREAM, 6, "", (ip, port)) for ip in answers
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return told
