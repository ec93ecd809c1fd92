"""The address of a Milvus as people write it, and how to connect to it."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import url2pathname

from nestvec_schemas.errors import StoreUnreachable

DEFAULT_PORT: Final = 19530
CONNECT_SECONDS: Final = 10.0
MAX_CONNECT_SECONDS: Final = 86_400.0
"""Sockets take no more than some years, and gRPC's deadlines neither."""

_SCHEMES: Final = {
    "http": "http",
    "tcp": "http",
    "grpc": "http",
    "milvus": "http",
    "https": "https",
    "grpcs": "https",
    "milvuss": "https",
    "tls": "https",
}
_CLOUD_HOSTS: Final = (".zillizcloud.com", ".zilliz.com.cn", ".zilliz.com")
_METRICS_PORT: Final = 9091
_WRITE: Final = (
    "Write http://HOST:19530 for a server, https://HOST:PORT for one with TLS, or a path that ends in .db "
    "for Milvus Lite."
)
_ENCODE: Final = " In a password, write %2F for /, %23 for # and %3F for ?, or give it with --token."


@dataclass(frozen=True)
class ConnectSettings:
    """How to connect to a Milvus server."""

    timeout: float = CONNECT_SECONDS
    """Seconds to wait for an answer, at most a day."""

    ca_file: Path | None = None
    """Certificates (PEM) to trust instead of those of the system."""

    client_cert: Path | None = None
    """The client's certificate (PEM), for a server that asks for it."""

    client_key: Path | None = None
    """The key of the client's certificate (PEM, without a password)."""

    server_name: str = ""
    """The name in the server's certificate, where it is not the host of the address."""

    def __post_init__(self) -> None:
        """Raises StoreUnreachable for a time that is none."""
        if not 0 < self.timeout <= MAX_CONNECT_SECONDS:
            raise StoreUnreachable(
                "this is no time to wait for Milvus",
                value=self.timeout,
                next_step=f"Give --timeout (timeout of nestvec.connect) as seconds, more than 0 and at most "
                f"{MAX_CONNECT_SECONDS:,.0f}.",
            )

    def tls_context(self) -> ssl.SSLContext:
        """The files as a context. Raises StoreUnreachable, naming the file that cannot be used."""
        for name, path in (
            ("ca_file", self.ca_file),
            ("client_cert", self.client_cert),
            ("client_key", self.client_key),
        ):
            if path is not None and not path.is_file():
                raise _tls_error(f"the file of {_option(name)} does not exist", path)
        if (self.client_cert is None) != (self.client_key is None):
            present = self.client_cert or self.client_key
            raise _tls_error("a client's certificate and its key come together", present)
        if self.client_cert and self.ca_file is None:
            raise _tls_error("pymilvus sends a client's certificate only with --ca-file", self.client_cert)
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (ssl.SSLError, OSError) as error:
            raise _tls_error("the file of --ca-file has no certificate in PEM", self.ca_file) from error
        if self.client_cert:
            try:
                context.load_cert_chain(self.client_cert, self.client_key, password=_no_password)
            except (ssl.SSLError, OSError, ValueError) as error:
                raise _tls_error(
                    "--client-cert and --client-key are no certificate with its key in PEM (no password)",
                    self.client_cert,
                ) from error
        return context

    @property
    def uses_tls(self) -> bool:
        """Whether something is set that has a meaning only with TLS."""
        return bool(self.ca_file or self.client_cert or self.client_key or self.server_name)


def _no_password() -> str:
    raise ValueError("the key has a password")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _tls_error(cause: str, path: Path | None) -> StoreUnreachable:
    return StoreUnreachable(
        cause,
        value=str(path),
        next_step="Give --ca-file, --client-cert and --client-key (ca_file, client_cert and client_key of "
        "nestvec.connect) as PEM files.",
    )


@dataclass(frozen=True)
class MilvusAddress:
    """Where a Milvus is."""

    uri: str
    """A path that ends in ``.db``, or ``http://HOST:PORT``, ``https://HOST:PORT`` or ``unix:PATH``."""

    token: str = field(default="", repr=False)
    database: str = ""
    host: str = ""
    """Empty for a path."""

    port: int = 0

    @property
    def is_lite(self) -> bool:
        """Whether it is a database of Milvus Lite."""
        return self.uri.endswith(".db") and not self.host

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.uri.startswith("https://")

    @property
    def place(self) -> str:
        """Host and port of a server, as a URL has them."""
        return f"{_bracketed(self.host)}:{self.port}"


def parse_address(text: str, *, token: str = "", database: str = "") -> MilvusAddress:
    """The address in ``text``; a token and a database outside of it take precedence.

    Raises StoreUnreachable, without the password that an address may contain.
    """
    address, token = text.strip().strip("\"'"), token.rstrip("\r\n")  # as a file of a secret ends
    if not address:
        raise StoreUnreachable("the address of Milvus is empty", next_step=_WRITE)
    if address.startswith("unix:"):
        return MilvusAddress(address, token, database)
    if address.lower().startswith(("sqlite:", "postgres", "mysql:", "jdbc:", "duckdb:")):
        raise _refused("the address is that of another database", address.partition(":")[0])
    if address.lower().startswith("file:"):
        path = address.partition(":")[2]
        address = url2pathname(path.removeprefix("//localhost").removeprefix("//"))
    elif "://" in address:
        return _server(address, address, token, database)
    if address.rstrip("/").endswith(".db") and not _has_port(address):
        return MilvusAddress(str(_expanded(address.rstrip("/"))), token, database)
    if _is_path(address):
        raise _not_a_database(_expanded(address))
    return _server(f"//{_bracketed(address)}", address, token, database)


def _expanded(path: str) -> Path:
    """A path with the home folder for ``~``; that of a user who does not exist stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises on such a user


def _bracketed(address: str) -> str:
    """``::1`` as ``[::1]``."""
    return f"[{address}]" if address.count(":") > 1 and "[" not in address and "@" not in address else address


def _has_port(address: str) -> bool:
    return address.rpartition(":")[2].partition("/")[0].isdigit()


def _is_path(address: str) -> bool:
    # A password may have a backslash. os.path.exists is false for a name that is too long.
    backslash = "\\" in address and "@" not in address
    return address.startswith((".", "/", "~")) or backslash or os.path.exists(address)  # noqa: PTH110


def _not_a_database(path: Path) -> StoreUnreachable:
    if path.is_dir():
        databases = sorted(entry.name for entry in path.iterdir() if entry.suffix == ".db")[:5]
        there = f" It has {', '.join(databases)}." if databases else ""
        return StoreUnreachable(
            "the address is a folder, not a database of Milvus Lite",
            value=str(path),
            next_step=f"Name a database in it: {path / (databases[0] if databases else 'milvus.db')}.{there}",
        )
    return StoreUnreachable(
        "the path does not end in .db, as a database of Milvus Lite does",
        value=str(path),
        next_step=f"Name the database {path}.db, or write http://HOST:19530 for a server.",
    )


def _refused(cause: str, value: object) -> StoreUnreachable:
    return StoreUnreachable(cause, value=value, next_step=_WRITE)


def _server(url: str, address: str, token: str, database: str) -> MilvusAddress:
    """The server at ``url``, which messages show as the ``address`` that a user wrote."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or ""), parts.port
    except ValueError as error:
        raise StoreUnreachable(
            "the address of Milvus is not a URL",
            value=_without_password(address),
            next_step=f"{_WRITE}{_ENCODE if '@' in address else ''}",
        ) from error
    if parts.scheme and parts.scheme not in _SCHEMES:
        raise _refused("the address of Milvus has an unknown scheme", parts.scheme)
    if not host or any(character.isspace() for character in host):
        raise _refused("the address of Milvus has no host", _without_password(address))
    if port == 0:
        raise _refused("port 0 is not a port of a server", host)
    if port == _METRICS_PORT:
        raise StoreUnreachable(
            f"port {_METRICS_PORT} is that of Milvus's metrics and web page",
            value=f"{host}:{port}",
            next_step=f"Its API is usually at port {DEFAULT_PORT}.",
        )
    if parts.query or parts.fragment:
        raise _refused("the address of Milvus has more than host, port and database", host)
    path = [unquote(part) for part in parts.path.split("/") if part]
    if len(path) > 1:
        raise _refused("the address of Milvus has more than one name of a database", "/".join(path))
    return _address(parts, token or _credentials(parts), database or "".join(path))


def _address(parts: SplitResult, token: str, database: str) -> MilvusAddress:
    host = parts.hostname or ""
    cloud = host.endswith(_CLOUD_HOSTS)
    scheme = "https" if cloud else _SCHEMES.get(parts.scheme, "http")
    port = parts.port or (443 if scheme == "https" else DEFAULT_PORT)
    if cloud and not token:
        raise StoreUnreachable(
            "Zilliz Cloud requires a token",
            value=host,
            next_step="Give the API key, or USER:PASSWORD, with --token or NESTVEC_TOKEN (token of "
            "nestvec.connect).",
        )
    return MilvusAddress(f"{scheme}://{_bracketed(host)}:{port}", token, database, host, port)


def _credentials(parts: SplitResult) -> str:
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return f"{user}:{password}" if password else user


def _without_password(address: str) -> str:
    start, at, rest = address.rpartition("@")
    return f"…@{rest}" if at else start + rest
