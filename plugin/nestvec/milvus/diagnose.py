"""Why a Milvus cannot be reached: nothing listens, or something else, TLS on one side, a certificate."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import Final

from nestvec.milvus.address import ConnectSettings, MilvusAddress
from nestvec_schemas.errors import StoreUnreachable

_READ_BYTES: Final = 4_096
_TLS_ALERT: Final = b"\x15\x03"
_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY")


def check_listening(address: MilvusAddress, settings: ConnectSettings) -> None:
    """Raise StoreUnreachable if nothing listens at a server's address; gRPC would try until its deadline.

    Where the environment names a proxy, which gRPC uses, nothing is checked.
    """
    if address.host and not any(os.environ.get(name) for name in _PROXIES):
        _connect(address, settings.timeout).close()


def diagnose(address: MilvusAddress, settings: ConnectSettings) -> StoreUnreachable | None:
    """What is wrong with a server that did not answer as Milvus does; None if that cannot be determined."""
    if not address.host or any(os.environ.get(name) for name in _PROXIES):
        return None
    deadline = time.monotonic() + min(settings.timeout, 5.0)
    try:
        if address.secure:
            return _diagnose_tls(address, settings, deadline)
        return _diagnose_plain(address, deadline)
    except StoreUnreachable as error:
        return error
    except OSError:
        return None


def _connect(address: MilvusAddress, seconds: float) -> socket.socket:
    try:
        return socket.create_connection((address.host, address.port), max(seconds, 0.1))
    except (socket.gaierror, UnicodeError) as error:
        raise StoreUnreachable(
            "there is no host of this name",
            value=address.host,
            next_step="Correct the address, or use a path that ends in .db for Milvus Lite.",
        ) from error
    except ConnectionRefusedError as error:
        raise _absent(
            "nothing listens at the address of Milvus",
            address.place,
            "Start Milvus there, or correct the address; a path that ends in .db needs no server.",
        ) from error
    except TimeoutError as error:
        raise _absent(
            f"the host of Milvus does not answer within {seconds:g} s",
            address.place,
            "Check the address, the network and its firewalls, or give it longer with --timeout.",
        ) from error
    except OSError as error:
        raise _absent(
            "the host of Milvus cannot be reached",
            f"{address.place}: {error.strerror or error}",
            "Check the address and the network.",
        ) from error


def _absent(cause: str, value: str, next_step: str) -> StoreUnreachable:
    """The error of a server that may be there later."""
    error = StoreUnreachable(cause, value=value, next_step=next_step)
    error.may_pass = True
    return error


def _receive(connection: socket.socket, deadline: float) -> bytes:
    """The first bytes that arrive until the deadline."""
    connection.settimeout(max(deadline - time.monotonic(), 0.1))
    try:
        return connection.recv(_READ_BYTES)
    except (TimeoutError, ConnectionError):
        return b""


def _diagnose_plain(address: MilvusAddress, deadline: float) -> StoreUnreachable | None:
    request = f"GET /info HTTP/1.1\r\nHost: {address.host}\r\nConnection: close\r\n\r\n"
    with _connect(address, deadline - time.monotonic()) as connection:
        connection.sendall(request.encode("idna" if not address.host.isascii() else "ascii"))
        answer = _receive(connection, deadline)
        if answer.startswith(b"HTTP/1.") and b"\r\n\r\n" in answer:
            answer += _receive(connection, deadline)
    if answer.startswith(_TLS_ALERT) or b"HTTP request to an HTTPS" in answer or b"HTTPS port" in answer:
        return _needs_tls(address)
    if answer.startswith(b"HTTP/1."):
        return _http_server(address, answer)
    if not answer and _speaks_tls(address, deadline):
        return _needs_tls(address)
    return None


def _http_server(address: MilvusAddress, answer: bytes) -> StoreUnreachable:
    if b'"max_client_batch_size"' in answer or b'"encoders"' in answer:
        return StoreUnreachable(
            "this is the address of nestvec's service, not of Milvus",
            value=address.place,
            next_step="Give Milvus's address with --uri; that of the service belongs to the collection.",
        )
    return StoreUnreachable(
        "a web server answers at the address of Milvus",
        value=f"{address.place}: {answer.splitlines()[0][:60].decode('ascii', 'replace')}",
        next_step="Correct the port: Milvus's API is usually at 19530, neither at its web page nor at Attu.",
    )


def _needs_tls(address: MilvusAddress) -> StoreUnreachable:
    return StoreUnreachable(
        "the server requires TLS, and the address is one without it",
        value=address.uri,
        next_step=f"Write https://{address.place}, and --ca-file for your own certificate.",
    )


def _speaks_tls(address: MilvusAddress, deadline: float) -> bool:
    # Nothing is sent over this connection: it only shows whether there is TLS.
    context = ssl._create_unverified_context()  # noqa: S323
    context.set_alpn_protocols(["h2"])
    try:
        with (
            _connect(address, deadline - time.monotonic()) as connection,
            context.wrap_socket(connection, server_hostname=address.host),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in str(error.reason)
    except (OSError, StoreUnreachable):
        return False


def _diagnose_tls(
    address: MilvusAddress, settings: ConnectSettings, deadline: float
) -> StoreUnreachable | None:
    context = settings.tls_context()
    context.set_alpn_protocols(["h2"])
    try:
        with (
            _connect(address, deadline - time.monotonic()) as connection,
            context.wrap_socket(connection, server_hostname=settings.server_name or address.host) as secure,
        ):
            # With TLS 1.3 a server refuses a client's certificate, or its absence, after the handshake.
            secure.settimeout(max(deadline - time.monotonic(), 0.1))
            secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            if secure.recv(1):
                return None
            raise ConnectionResetError("closed")
    except ssl.SSLCertVerificationError as error:
        return _untrusted(address, error)
    except (ssl.SSLError, ConnectionError) as error:
        return _no_tls(address, error, certificate=settings.client_cert is not None)
    except TimeoutError:
        return None


def _untrusted(address: MilvusAddress, error: ssl.SSLCertVerificationError) -> StoreUnreachable:
    reason = error.verify_message.rstrip(".")
    if "mismatch" in reason or "not valid for" in reason:
        return StoreUnreachable(
            "the certificate of the server is for another name",
            value=f"{address.host}: {reason}",
            next_step="Write the name that is in the certificate, or give it with --server-name.",
        )
    if "expired" in reason:
        return StoreUnreachable(
            "the certificate of the server has expired",
            value=address.uri,
            next_step="Renew it on the server.",
        )
    return StoreUnreachable(
        "the certificate of the server is not one that this machine trusts",
        value=f"{address.uri}: {reason}",
        next_step="Give the certificate of its issuer (PEM), or the server's own if it is self-signed, with "
        "--ca-file or NESTVEC_CA_FILE (ca_file of nestvec.connect).",
    )


def _no_tls(
    address: MilvusAddress, error: ssl.SSLError | ConnectionError, *, certificate: bool
) -> StoreUnreachable | None:
    reason = str(getattr(error, "reason", "") or "")
    # gRPC's servers close the connection; others send an alert.
    closed = isinstance(error, ConnectionError)
    answer = "it closes the connection" if closed else reason.replace("_", " ").lower()
    if not certificate and ("ALERT" in reason or closed):
        return StoreUnreachable(
            "the server requires a certificate of the client",
            value=f"{address.uri}: {answer}",
            next_step="Give it with --client-cert and --client-key, together with --ca-file.",
        )
    if "ALERT" in reason or closed:
        return StoreUnreachable(
            "the server does not accept the certificate of the client",
            value=f"{address.uri}: {answer}",
            next_step="Give one that its authority has issued, with --client-cert and --client-key.",
        )
    if isinstance(error, ssl.SSLError):
        return StoreUnreachable(
            "the server does not speak TLS at this port",
            value=address.uri,
            next_step=f"Write http://{address.place}, or correct the port.",
        )
    return None
