from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from nestvec.images import ImagePolicy, parse_address, s3
from nestvec.images.policy import ImageLimits
from nestvec.images.s3 import read_s3
from nestvec_schemas.errors import ImageRefused, ImageUnreachable


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """A store that speaks S3, with the bucket ``pictures``; its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        config = Config(proxies={}, s3={"addressing_style": "path"})
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=config)
        client.create_bucket(Bucket="pictures")
        client.create_bucket(Bucket="others")
        client.put_object(Bucket="pictures", Key="animals/a cat?.png", Body=b"cat")
        client.put_object(Bucket="pictures", Key="large.png", Body=bytes(1001))
        client.put_object(Bucket="others", Key="secret.png", Body=b"secret")
        yield url
    server.stop()


def read(text: str, url: str | None, buckets: tuple[str, ...] = ("pictures",), seconds: float = 240) -> bytes:
    address = parse_address(text)
    assert address is not None
    policy = ImagePolicy(
        schemes=frozenset({"s3"}),
        buckets=buckets,
        s3_endpoint=url,
        limits=ImageLimits(max_bytes=1000, max_seconds=seconds),
    )
    return read_s3(address, policy)


@pytest.mark.parametrize(
    "key", ["animals/a%20cat%3F.png", "animals/a%20cat?.png", "%61nimals%2Fa%20cat%3f.png"]
)
def test_an_image_in_a_bucket(store: str, key: str) -> None:
    """HTTP_PROXY leads nowhere meanwhile: no proxy is asked."""
    assert read(f"s3://pictures/{key}", store) == b"cat"


@pytest.mark.parametrize(
    ("text", "buckets", "said"),
    [
        ("s3://others/secret.png", ("pictures",), "this bucket"),
        ("s3://others/secret.png", (), "this bucket"),
        ("s3://evil.example@127.0.0.1/x", ("*",), "no bucket"),
        ("s3://Pictures/x", ("*",), "no bucket"),
        ("s3://a..b/x", ("*",), "no bucket"),
        ("s3://arn:aws:s3:::x/y", ("*",), "no bucket"),
    ],
)
def test_buckets_that_are_not_listed(store: str, text: str, buckets: tuple[str, ...], said: str) -> None:
    address = parse_address(text)
    assert address is not None
    with pytest.raises(ImageRefused, match=said):
        read_s3(address, ImagePolicy(buckets=buckets, s3_endpoint=store))


def test_any_bucket(store: str) -> None:
    assert read("s3://others/secret.png", store, ("*",)) == b"secret"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://pictures/none.png", "NoSuchKey"),
        ("s3://nowhere/none.png", "NoSuchBucket"),
        ("s3://pictures/large.png", "more than 1000 bytes"),
    ],
)
def test_what_the_store_does_not_give(store: str, text: str, said: str) -> None:
    with pytest.raises(ImageUnreachable, match=said):
        read(text, store, ("*",))


def test_a_store_that_is_not_there(store: str) -> None:
    with pytest.raises(ImageUnreachable, match="EndpointConnectionError"):
        read("s3://pictures/cat.png", "http://127.0.0.1:9")


def test_a_store_that_does_not_answer(store: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ImageUnreachable, match="Timeout"):
            read("s3://pictures/cat.png", url, seconds=0.2)


@pytest.mark.parametrize(
    ("head", "part", "seconds", "said"),
    [
        (b"Transfer-Encoding: chunked", b"1\r\nx\r\n", 0.4, r"within 0\.4 seconds"),
        (b"Content-Length: 900", b"x", 0.4, r"within 0\.4 seconds"),
        (b"Transfer-Encoding: chunked", b"400\r\n" + bytes(0x400) + b"\r\n", 240, "more than 1000 bytes"),
        (b"Content-Length: 900", b"", 240, "closed the connection early|cannot be reached"),
        (b"Transfer-Encoding: chunked", b"nonsense\r\n", 240, "cannot be reached"),
    ],
)
def test_a_store_that_misbehaves(store: str, head: bytes, part: bytes, seconds: float, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
                while part and not stop.wait(0.02):
                    try:
                        connection.sendall(part)
                    except OSError:
                        return

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        try:
            with pytest.raises(ImageUnreachable, match=said):
                read("s3://pictures/cat.png", url, seconds=seconds)
        finally:
            stop.set()
            thread.join()


def test_without_boto3_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setattr(s3, "_clients", {})
    with pytest.raises(ImageUnreachable, match=r"Install nestvec\[s3\]"):
        read("s3://pictures/cat.png", None)
