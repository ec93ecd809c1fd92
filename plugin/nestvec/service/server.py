"""Runs the app: in the foreground for ``nestvec serve``, or on a thread inside a command."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import uvicorn

from nestvec.engines.factory import open_engine
from nestvec.service.app import create_app
from nestvec.service.batching.threads import switch_threads_often
from nestvec.service.catalog.catalog import EncoderCatalog
from nestvec.service.catalog.reload import Reloader
from nestvec.service.catalog.repository import ServedRepository
from nestvec.service.catalog.residency import Residency
from nestvec.service.embedder import Embedder
from nestvec.service.engine_probe import probe_batches
from nestvec.service.middleware.connection import connection_class
from nestvec.service.middleware.connection_gate import ConnectionGate
from nestvec.service.middleware.listener import LimitedListener
from nestvec.service.observability.observer import Observer
from nestvec.service.operation.declared_options import DeclaredOptions, DeclaredSource
from nestvec.service.operation.operations import Operations
from nestvec.service.settings import AccessSettings, ServiceSettings
from nestvec_schemas.errors import PortInUse, ServiceError

_COLLECTOR_THRESHOLDS: Final = (10_000, 2, 30)
"""Of Python's garbage collector. By its defaults, a burst of requests has it look at all of their objects
more than once, each time for a twentieth of a second; so it looks at the newest 30,000, and seldom at all."""

_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1
_FORCED_POLLS: Final = 10
"""How often it is looked whether the server has ended, after a second signal."""

_MAX_OPEN_FILES: Final = 65536
_MIN_OTHER_FILES: Final = 16
"""Files that the process may open besides its connections: images, API keys, connections to Triton."""


def open_embedder(
    models: Path,
    names: tuple[str, ...],
    settings: ServiceSettings,
    observer: Observer | None = None,
    declared: DeclaredSource = DeclaredOptions,
) -> Embedder:
    """An embedder, with its engine, for the named encoders of a model repository, or all without names.

    Raises AliasInvalid, ServiceError for an encoder that is larger than the memory budget or two of one name,
    and what reading and opening encoders raises.
    """
    repository = ServedRepository(models, names)
    instances = [repository.read(name) for name in repository.names()]
    catalog = EncoderCatalog(instances, declared().aliases)
    engine = open_engine({}, settings.engine, probe_batches)
    residency = Residency(engine, settings.engine.memory)
    for instance in instances:
        residency.open_now(instance)
    embedder = Embedder(catalog, engine, settings, observer)
    embedder.residency, embedder.declared = residency, declared
    embedder.reloader = Reloader(embedder, repository, engine)
    embedder.measures_speed = True
    return embedder


def bind(host: str, port: int) -> LimitedListener:
    """A listening socket; port 0 means any free port. Raises PortInUse, ServiceError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol, asyncio leaves Nagle's algorithm on, and responses wait 40 ms for an
    # acknowledgement.
    listener = LimitedListener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
                next_step="Stop it, or choose another port (--port, or the address of the service).",
            ) from error
        raise ServiceError(
            "cannot listen on this address",
            value=f"{host}:{port} ({error})",
            next_step="Use an address of this machine and a port from 1024 to 65535.",
        ) from error
    return listener


def serve(server: Server, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM. Requests in flight are finished first, unless it comes twice."""
    # uvicorn raises the signal again once it has shut down, which would look like a failure. And a signal
    # that arrives before uvicorn handles signals must not be lost.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, server.handle_exit)
    _raise_open_file_limit()
    # What there is by now stays: to look for garbage in it would stop every request for a tenth of a second.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    switch_threads_often()
    server.run(sockets=[listener])


def end_process() -> NoReturn:
    """End the process with 0 and without Python's shutdown.

    An engine's thread whose batch ended during that would be unwound through C++, which aborts the process.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def serve_in_thread(embedder: Embedder, listener: socket.socket) -> Iterator[str]:
    """Serve on a thread until the block ends; the block receives the base URL."""
    server = create_server(embedder)
    thread = threading.Thread(target=server.run, args=([listener],), name="nestvec-service", daemon=True)
    thread.start()
    pause = threading.Event()
    for _ in range(int(_START_SECONDS / 0.01)):
        if server.started or not thread.is_alive():
            break
        pause.wait(0.01)
    if not server.started:
        raise ServiceError("the service did not start", next_step="Run nestvec serve and read its output.")
    try:
        yield listening_url(listener, tls=embedder.settings.access.tls_cert is not None)
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)


def listening_url(listener: socket.socket, *, tls: bool = False) -> str:
    """The base URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn's server, with a gate before its connections. A second SIGTERM stops it at once, as a second
    SIGINT does."""

    def __init__(self, config: uvicorn.Config, gate: ConnectionGate, operations: Operations) -> None:
        super().__init__(config)
        self.gate, self.operations = gate, operations
        self.was_forced = False
        """Whether it stopped without waiting for requests, and for the batches that the engine runs."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if (descriptors := _free_descriptors()) is not None:
            self.gate.limit_connections(descriptors - max(_MIN_OTHER_FILES, descriptors // 16))
        for listener in sockets or ():
            if isinstance(listener, LimitedListener):
                listener.gate, listener.tls = self.gate, self.config.ssl_certfile is not None
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn waits for the app's end whatever the signals are, and an engine's calls may take long.
        closing, polls = asyncio.create_task(super().shutdown(sockets)), 0
        while not closing.done() and polls < _FORCED_POLLS:
            await asyncio.wait([closing], timeout=_POLL_SECONDS)
            polls += self.force_exit
        if not closing.done():
            closing.cancel()
        await asyncio.wait([closing])
        self.was_forced = self.force_exit  # uvicorn raises the signal again afterwards, which sets it as well
        if not closing.cancelled():
            closing.result()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)


def create_server(embedder: Embedder) -> Server:
    """A server for the app. Raises ServiceError for TLS files, API keys or packages that are unusable."""
    limits, access = embedder.settings.connections, embedder.settings.access
    _check_tls(access)
    app = create_app(embedder)
    gate = ConnectionGate(limits, app.state.metrics.connection_refused, unread=embedder.admission.unread)
    app.state.metrics.watch_connections(gate)
    connection = connection_class(limits, embedder.settings.load.body_bytes, gate)
    config = uvicorn.Config(
        app.state.entry,
        # uvloop never calls ``LimitedListener.accept``: connections would be neither counted nor refused. It
        # saves a twentieth of the event loop's time.
        loop="asyncio",
        http=connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=access.tls_cert,
        ssl_keyfile=access.tls_key,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=limits.shutdown_seconds,
    )
    operations: Operations = app.state.operations

    def apply(settings: ServiceSettings) -> None:
        gate.apply(settings.connections)
        connection.apply(settings.connections, settings.load.body_bytes)
        config.timeout_keep_alive = settings.connections.keep_alive_seconds
        config.timeout_graceful_shutdown = settings.connections.shutdown_seconds

    def read_certificate() -> None:
        _check_tls(access)  # in a context of its own: half a change would leave no usable one
        context = getattr(config, "ssl", None)  # there once the server has started
        if isinstance(context, ssl.SSLContext) and access.tls_cert is not None:
            context.load_cert_chain(access.tls_cert, access.tls_key, password="")

    operations.on_settings.append(apply)
    if access.tls_cert is not None:
        operations.files["certificate"] = read_certificate
    return Server(config, gate, operations)


def _check_tls(access: AccessSettings) -> None:
    if access.tls_cert is None and access.tls_key is None:
        return
    if access.tls_cert is None or access.tls_key is None:
        raise ServiceError(
            "TLS needs a certificate and its key, and only one of them is set",
            value=str(access.tls_cert or access.tls_key),
            next_step="Set both --tls-cert and --tls-key.",
        )
    try:
        # The password keeps OpenSSL from prompting for that of an encrypted key.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            access.tls_cert, access.tls_key, password=""
        )
    except OSError as error:  # an SSLError is one
        raise ServiceError(
            f"the TLS certificate {access.tls_cert} cannot be used with the key {access.tls_key}",
            value=error.strerror or str(error),
            next_step="Use a certificate chain and its unencrypted key, both readable and in PEM.",
        ) from error


def _raise_open_file_limit() -> None:
    """Allow as many open files as the system permits: each connection is one."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def _free_descriptors() -> int | None:
    """How many more files the process may open; None where the system does not say."""
    try:
        import resource  # noqa: PLC0415 - not on Windows

        open_files = sum(1 for _ in Path("/dev/fd").iterdir())
    except (ImportError, OSError):
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft - open_files
