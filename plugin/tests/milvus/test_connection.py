"""What stands at an address: a Milvus with its token, database and TLS, another server, or nothing."""

from __future__ import annotations

import asyncio
import base64
import datetime
import http.server
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from nestvec.milvus.address import ConnectSettings
from nestvec.milvus.connection import open_milvus, open_milvus_async
from nestvec_schemas.errors import StoreUnreachable

PATIENT = ConnectSettings(timeout=240.0)
BRIEF = ConnectSettings(timeout=2.0)
"""Where nothing answers, this long is waited."""


class Milvus(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]
    """What pymilvus asks when it connects, with Milvus's own texts of its refusals."""

    def __init__(self, token: str = "", databases: tuple[str, ...] = ("default",)) -> None:
        self.token, self.databases = token, databases

    def _check(self, context: grpc.ServicerContext) -> str:
        metadata = dict(context.invocation_metadata())
        if self.token and not metadata.get("authorization"):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "missing authorization in header")
        if self.token and base64.b64decode(str(metadata["authorization"])).decode() != self.token:
            context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "auth check failure, please check api key is correct: invalid credential",
            )
        return str(metadata.get("dbname", "") or "default")

    def Connect(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._check(context)
        info = common_pb2.ServerInfo(build_tags="2.6.4", deploy_mode="STANDALONE")
        return milvus_pb2.ConnectResponse(status=common_pb2.Status(), server_info=info, identifier=1)

    def GetVersion(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._check(context)
        return milvus_pb2.GetVersionResponse(status=common_pb2.Status(), version="2.6.4")

    def ShowCollections(self, request: Any, context: grpc.ServicerContext) -> Any:
        database = self._check(context)
        if database == "secret":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "PrivilegeShowCollections: permission deny")
        status = common_pb2.Status()
        if database not in self.databases:
            status = common_pb2.Status(
                code=800, error_code=1, reason=f"database not found[database={database}]"
            )
        return milvus_pb2.ShowCollectionsResponse(status=status)

    def ListDatabases(self, request: Any, context: grpc.ServicerContext) -> Any:
        return milvus_pb2.ListDatabasesResponse(status=common_pb2.Status(), db_names=self.databases)


@contextmanager
def serving(milvus: Milvus | None = None, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(4))
    if milvus is not None:
        milvus_pb2_grpc.add_MilvusServiceServicer_to_server(milvus, server)
    place = "127.0.0.1:0"
    port = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def opened(uri: str, settings: ConnectSettings = PATIENT, token: str = "", database: str = "") -> str:
    with open_milvus(uri, token=token, database=database, settings=settings) as client:
        return str(client.get_server_version())


def opened_async(uri: str, settings: ConnectSettings = PATIENT, token: str = "", database: str = "") -> str:
    async def version() -> str:
        async with open_milvus_async(uri, token=token, database=database, settings=settings) as client:
            return str(await client.get_server_version())

    return asyncio.run(version())


Opened = Callable[..., str]
BOTH = pytest.mark.parametrize("connect", [opened, opened_async])


def refusal(
    connect: Opened, uri: str, settings: ConnectSettings = BRIEF, token: str = "", database: str = ""
) -> str:
    with pytest.raises(StoreUnreachable) as caught:
        connect(uri, settings, token, database)
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


@BOTH
def test_a_milvus_is_opened_by_any_of_its_addresses(connect: Opened) -> None:
    with serving(Milvus()) as port:
        for address in (
            f"localhost:{port}",
            f"http://127.0.0.1:{port}/",
            f"milvus://127.0.0.1:{port}/default",
        ):
            assert connect(address) == "2.6.4"


@BOTH
def test_a_token_that_is_missing_or_wrong(connect: Opened) -> None:
    with serving(Milvus(token="root:right")) as port:
        assert connect(f"127.0.0.1:{port}", token="root:right") == "2.6.4"
        assert connect(f"root:right@127.0.0.1:{port}") == "2.6.4"
        assert "Milvus requires a token" in refusal(connect, f"127.0.0.1:{port}")
        message = refusal(connect, f"127.0.0.1:{port}", token="root:s3cret")
        assert "Milvus does not accept the token" in message
        assert "NESTVEC_TOKEN" in message


@BOTH
def test_a_database_that_is_not_there(connect: Opened) -> None:
    with serving(Milvus(databases=("default", "papers"))) as port:
        assert connect(f"127.0.0.1:{port}/papers") == "2.6.4"
        message = refusal(connect, f"127.0.0.1:{port}", database="paper")
    assert "Milvus has no database of this name: paper. Correct --database" in message


@BOTH
def test_a_user_that_may_not_list_a_database_can_use_it(connect: Opened) -> None:
    with serving(Milvus()) as port:
        assert connect(f"127.0.0.1:{port}/secret") == "2.6.4"


def test_a_database_that_is_not_there_names_those_that_are() -> None:
    with serving(Milvus(databases=("default", "papers"))) as port:
        assert "Available: default, papers" in refusal(opened, f"127.0.0.1:{port}", database="paper")


@BOTH
def test_nothing_listens(connect: Opened) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        assert f"nothing listens at the address of Milvus: 127.0.0.1:{port}" in refusal(
            connect, f"http://root:s3cret@127.0.0.1:{port}"
        )


@BOTH
def test_a_server_that_says_nothing_is_waited_for_only_so_long(connect: Opened) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        message = refusal(connect, f"127.0.0.1:{silent.getsockname()[1]}", ConnectSettings(timeout=0.5))
    assert "cannot open Milvus" in message


class Starting(Milvus):
    """A Milvus whose proxy runs before what is behind it."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def Connect(self, request: Any, context: grpc.ServicerContext) -> Any:
        return milvus_pb2.ConnectResponse(status=common_pb2.Status(code=2, error_code=1, reason=self.reason))


@BOTH
@pytest.mark.parametrize(
    "reason",
    [
        "service unavailable: internal: Milvus Proxy is not ready yet. please wait",
        "service not ready[Proxy=1]: Initializing",
    ],
)
def test_a_milvus_that_is_still_starting(connect: Opened, reason: str) -> None:
    with serving(Starting(reason)) as port:
        message = refusal(connect, f"http://127.0.0.1:{port}")
    assert message == f"Milvus is still starting: http://127.0.0.1:{port}. Try again in a minute."


@BOTH
def test_a_port_that_closes_what_it_accepts(connect: Opened) -> None:
    """As that of a container does before the program in it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def close_all() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=close_all, daemon=True).start()
        message = refusal(connect, f"http://127.0.0.1:{port}")
    assert "If Milvus is still starting there, try again in a minute; else correct the address." in message


@BOTH
def test_another_grpc_server(connect: Opened) -> None:
    with serving() as port:
        assert "another service than Milvus" in refusal(connect, f"127.0.0.1:{port}")


class Web(http.server.BaseHTTPRequestHandler):
    body = b"<html>"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Service(Web):
    body = b'{"encoders": {}, "max_client_batch_size": 32}'


@pytest.mark.parametrize(
    ("handler", "message"), [(Web, "a web server answers"), (Service, "the address of nestvec's service")]
)
def test_a_web_server(handler: type[Web], message: str) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert message in refusal(opened, f"127.0.0.1:{server.server_port}")
            assert "does not speak TLS" in refusal(opened, f"https://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path

    @property
    def pem(self) -> tuple[bytes, bytes]:
        return self.key.read_bytes(), self.certificate.read_bytes()


def issue(folder: Path, name: str, *, hosts: tuple[str, ...] = ("localhost",), days: int = 30) -> Pair:
    """A self-signed certificate for hosts and 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(tz=datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
    if "localhost" in hosts:
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return pair


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    folder = tmp_path_factory.mktemp("certificates")
    return {
        "server": issue(folder, "server"),
        "client": issue(folder, "client"),
        "stranger": issue(folder, "stranger"),
        "named": issue(folder, "named", hosts=("milvus.example",)),
        "expired": issue(folder, "expired", days=-1),
    }


def tls(pair: Pair, client: Pair | None = None) -> grpc.ServerCredentials:
    authority = client.certificate.read_bytes() if client else None
    return grpc.ssl_server_credentials([pair.pem], authority, require_client_auth=client is not None)


@BOTH
def test_tls_with_a_certificate_of_its_own(connect: Opened, pairs: dict[str, Pair]) -> None:
    with serving(Milvus(), tls(pairs["server"])) as port:
        trusting = ConnectSettings(2.0, ca_file=pairs["server"].certificate)
        assert connect(f"https://127.0.0.1:{port}", trusting) == "2.6.4"
        assert connect(f"https://localhost:{port}", trusting) == "2.6.4"
        message = refusal(connect, f"https://root:s3cret@localhost:{port}")
        assert "is not one that this machine trusts" in message
        assert "--ca-file" in message
        assert f"requires TLS, and the address is one without it: http://localhost:{port}" in refusal(
            connect, f"localhost:{port}"
        )


def test_tls_on_a_plain_port() -> None:
    with serving(Milvus()) as port:
        assert "does not speak TLS" in refusal(opened, f"https://localhost:{port}")


def test_tls_files_at_an_address_without_tls(pairs: dict[str, Pair]) -> None:
    settings = ConnectSettings(2.0, ca_file=pairs["server"].certificate)
    with serving(Milvus()) as port:
        assert "have no meaning at an address without TLS" in refusal(opened, f"localhost:{port}", settings)


def test_a_certificate_for_another_name(pairs: dict[str, Pair]) -> None:
    authority = pairs["named"].certificate
    with serving(Milvus(), tls(pairs["named"])) as port:
        uri = f"https://localhost:{port}"
        assert "for another name" in refusal(opened, uri, ConnectSettings(2.0, authority))
        named = ConnectSettings(2.0, authority, server_name="milvus.example")
        assert opened(uri, named) == "2.6.4"


def test_a_certificate_that_has_expired(pairs: dict[str, Pair]) -> None:
    settings = ConnectSettings(2.0, ca_file=pairs["expired"].certificate)
    with serving(Milvus(), tls(pairs["expired"])) as port:
        assert "has expired" in refusal(opened, f"https://localhost:{port}", settings)


def test_a_certificate_of_the_client(pairs: dict[str, Pair]) -> None:
    authority = pairs["server"].certificate
    with serving(Milvus(), tls(pairs["server"], pairs["client"])) as port:
        uri = f"https://localhost:{port}"
        client, stranger = pairs["client"], pairs["stranger"]
        own = ConnectSettings(2.0, authority, client_cert=client.certificate, client_key=client.key)
        assert opened(uri, own) == "2.6.4"
        other = ConnectSettings(2.0, authority, client_cert=stranger.certificate, client_key=stranger.key)
        assert "does not accept the certificate" in refusal(opened, uri, other)
        assert "requires a certificate of the client" in refusal(opened, uri, ConnectSettings(2.0, authority))


def test_a_key_of_another_certificate(pairs: dict[str, Pair]) -> None:
    mixed = ConnectSettings(
        ca_file=pairs["server"].certificate,
        client_cert=pairs["client"].certificate,
        client_key=pairs["stranger"].key,
    )
    with pytest.raises(StoreUnreachable, match="no certificate with its key"):
        mixed.tls_context()
