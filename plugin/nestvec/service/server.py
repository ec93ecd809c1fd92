"""Running the app: in the foreground for ``nestvec serve``, or on a thread inside a command."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from nestvec.engines.onnx import OnnxEngine
from nestvec.service.app import create_app
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.settings import Settings
from nestvec_schemas.errors import PortInUse, ServiceError

_START_SECONDS = 60.0


def open_embedder(models: Path, names: tuple[str, ...], settings: Settings) -> Embedder:
    """An embedder over the encoders in a model repository, with the embedded engine."""
    encoders = open_encoders(models, names)
    engine = OnnxEngine({name: models / name for name in encoders}, threads=settings.threads)
    return Embedder(encoders, engine, settings)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises PortInUse, ServiceError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortInUse(
                "another program listens on this port",
                value=f"{host}:{port}",
                next_step="Stop it, or choose another port (--port, or the service's address).",
            ) from error
        raise ServiceError(
            "cannot listen at this address",
            value=f"{host}:{port} ({error})",
            next_step="Give an address of this machine, and a port from 1024 to 65535.",
        ) from error
    return listener


def serve(embedder: Embedder, listener: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM; what was taken is finished first."""
    # uvicorn raises the signal again once it has shut down: being told to stop is not a failure.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: None)
    _server(embedder).run(sockets=[listener])


@contextmanager
def serving(embedder: Embedder, listener: socket.socket) -> Iterator[str]:
    """Answer on a thread until the block ends; the block gets the base URL."""
    server = _server(embedder)
    thread = threading.Thread(target=server.run, args=([listener],), name="nestvec-service", daemon=True)
    thread.start()
    waited = threading.Event()
    for _ in range(int(_START_SECONDS / 0.01)):
        if server.started or not thread.is_alive():
            break
        waited.wait(0.01)
    if not server.started:
        raise ServiceError("the service did not start", next_step="Run nestvec serve and read what it says.")
    try:
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)


def address(listener: socket.socket) -> str:
    """The base URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(embedder: Embedder) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(embedder),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=30,
    )
    return uvicorn.Server(config)
