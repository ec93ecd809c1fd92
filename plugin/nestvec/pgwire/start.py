"""Starts a server in the foreground, as ``nestvec pg`` does."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import start_http_server
from pymilvus import MilvusClient

from nestvec.pgwire.login import is_loopback
from nestvec.pgwire.server import PgServer
from nestvec.pgwire.settings import PgAccess, PgSettings
from nestvec_schemas.errors import PortInUse, ServiceError


def check_access(host: str, access: PgAccess) -> None:
    """Refuse to listen for other hosts without passwords. Raises ServiceError."""
    if access.accounts is None and not is_loopback(host):
        raise ServiceError(
            "without passwords the server listens to this host only",
            value=host,
            next_step="Set --api-keys, or --user and --password-file; or --host 127.0.0.1.",
        )


def tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The server's certificate; None without one. Raises ServiceError."""
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise ServiceError(
            "TLS needs a certificate and its key, and only one of them is set",
            value=str(cert or key),
            next_step="Set both --tls-cert and --tls-key.",
        )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # The password keeps OpenSSL from prompting for that of an encrypted key.
        context.load_cert_chain(cert, key, password="")
    except OSError as error:  # an SSLError is one
        raise ServiceError(
            f"the TLS certificate {cert} cannot be used with the key {key}",
            value=error.strerror or str(error),
            next_step="Use a certificate chain and its unencrypted key, both readable and in PEM.",
        ) from error
    return context


@contextmanager
def serve_metrics(server: PgServer, host: str, port: int | None) -> Iterator[None]:
    """Serve the metrics by HTTP during the block, at a port of their own. Raises PortInUse."""
    if port is None:
        yield
        return
    try:
        http, thread = start_http_server(port, host, server.metrics.registry)
    except OSError as error:
        raise PortInUse(
            "another program listens on the port of the metrics",
            value=f"{host}:{port}",
            next_step="Choose another --metrics-port.",
        ) from error
    try:
        yield
    finally:
        http.shutdown()
        thread.join()


def run_server(
    client: MilvusClient, settings: PgSettings, listener: socket.socket, metrics_port: int | None
) -> None:
    """Serve until SIGINT or SIGTERM. Raises ServiceError for TLS files that cannot be used."""
    tls = tls_context(settings.access.tls_cert, settings.access.tls_key)

    async def serve() -> None:
        server = PgServer(client, settings, tls)
        with serve_metrics(server, "127.0.0.1", metrics_port):
            await server.serve(listener, signals=True)

    asyncio.run(serve())
