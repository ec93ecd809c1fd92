"""What a hostile or careless client does to a service, each as a function that lasts a while.

Run as a process of its own, so that it does not slow down the client that is measured:

    python benchmarks/attacks.py NAME PORT ENCODER SECONDS
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import struct
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

TEXT = "heat flow in shock waves over a flat plate at supersonic speed and zero incidence"
WORDS = TEXT.split()

_HANG_SECONDS = 600.0
"""More than any answer takes, on a machine with much other work."""


def request(path: str, body: bytes, *headers: str) -> bytes:
    """A request on the wire; its connection stays open."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


async def converse(port: int, data: bytes, seconds: float) -> bytes:
    """Send ``data`` on a new connection and return the answer's beginning."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(seconds):
            return await reader.read(400)
    finally:
        writer.close()


async def repeat(port: int, make: Callable[[], bytes], seconds: float, connections: int = 1) -> list[bytes]:
    """Requests one after another on each of several connections; the first answer of each connection."""
    end = time.monotonic() + seconds

    async def client() -> bytes:
        first = b""
        # Once at least, however soon the time is over: a connection may be reset, or the machine be busy.
        while (now := time.monotonic()) < end or (not first and now < end + _HANG_SECONDS):
            try:
                answer = await converse(port, make(), _HANG_SECONDS)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.05)
                continue
            first = first or answer
        return first

    return list(await asyncio.gather(*(client() for _ in range(connections))))


async def keep_asking(port: int, make: Callable[[], bytes], seconds: float, connections: int) -> list[bytes]:
    """The same over connections that stay open, as a pool of clients has them."""
    end = time.monotonic() + seconds

    async def client() -> bytes:
        first = b""
        while time.monotonic() < end:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                while time.monotonic() < end:
                    writer.write(make())
                    head = await reader.readuntil(b"\r\n\r\n")
                    first = first or head[:200]
                    (length,) = (
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length")
                    )
                    await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                await asyncio.sleep(0.05)
        return first

    return list(await asyncio.gather(*(client() for _ in range(connections))))


def _embed(encoder: str, inputs: object, more: str = "") -> bytes:
    return request(f"/embed?encoder={encoder}{more}", json.dumps({"inputs": inputs}).encode())


def _unique(length: int, numbers: count[int]) -> str:
    return " ".join([str(next(numbers)), *(WORDS * (length // len(WORDS) + 1))[:length]])


Attack = Callable[[int, str, float], Awaitable[list[bytes]]]


def _body(text: bytes, path: str = "/embed") -> Attack:
    async def attack(port: int, encoder: str, seconds: float) -> list[bytes]:
        return await repeat(port, lambda: request(f"{path}?encoder={encoder}", text), seconds)

    return attack


async def lone_queries(port: int, encoder: str, seconds: float) -> list[bytes]:
    numbers = count()
    return await keep_asking(port, lambda: _embed(encoder, _unique(12, numbers)), seconds, 500)


async def bulk(port: int, encoder: str, seconds: float) -> list[bytes]:
    numbers = count()
    return await keep_asking(
        port, lambda: _embed(encoder, [_unique(60, numbers) for _ in range(256)]), seconds, 32
    )


async def mean(port: int, encoder: str, seconds: float) -> list[bytes]:
    """Texts far longer than the encoder takes, to be embedded chunk by chunk."""
    numbers = count()
    return await keep_asking(
        port,
        lambda: _embed(encoder, [_unique(40_000, numbers) for _ in range(8)], "&overlong=mean"),
        seconds,
        4,
    )


async def tokenize(port: int, encoder: str, seconds: float) -> list[bytes]:
    text = " ".join(WORDS * 1000)[: 1 << 17]
    body = json.dumps({"inputs": [text, text]}).encode()
    return await keep_asking(port, lambda: request(f"/tokenize?encoder={encoder}", body), seconds, 32)


async def refused(port: int, encoder: str, seconds: float) -> list[bytes]:
    """Requests that are refused at once, as fast as the answers come."""
    return await keep_asking(port, lambda: _embed(encoder, [""]), seconds, 200)


async def unread(port: int, encoder: str, seconds: float) -> list[bytes]:
    """Pipelined requests whose answers are never read."""
    texts = [f"{word} {number}" for number in range(128) for word in WORDS[:16]]
    data = _embed(encoder, texts[:2000]) * 8
    sockets = []
    for _ in range(64):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        sockets.append((client, memoryview(data)))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for place, (client, left) in enumerate(sockets):
            with suppress(OSError):
                sockets[place] = (client, left[client.send(left[:65536]) :])
        await asyncio.sleep(0.05)
    return []


async def vanish(port: int, encoder: str, seconds: float) -> list[bytes]:
    """Hundreds of connections that ask for the same many texts, and close before the response."""
    numbers = count()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = _embed(encoder, [_unique(6, numbers) for _ in range(1000)])
        writers = []
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                break
            writer.write(data)
            writers.append(writer)
        await asyncio.sleep(1.5)
        for writer in writers:
            writer.close()
    return []


async def slow_bodies(port: int, encoder: str, seconds: float) -> list[bytes]:
    """Large bodies that arrive almost whole, and then stop."""
    head = request(f"/embed?encoder={encoder}", b"")[: -len("0\r\n\r\n")]
    data = head + b"8000000\r\n\r\n" + b'{"inputs":["' + b"a" * 7_000_000

    async def client() -> bytes:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(seconds)
            writer.close()
        except OSError:
            pass
        return b""

    return list(await asyncio.gather(*(client() for _ in range(64))))


async def descriptors(port: int, encoder: str, seconds: float) -> list[bytes]:
    """Connections that send nothing, as many as this process may open."""
    sockets = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            sockets.append(client)
        except OSError:
            await asyncio.sleep(0.1)
        if len(sockets) % 100 == 0:
            await asyncio.sleep(0.01)
    return []


async def empty_lines(port: int, encoder: str, seconds: float) -> list[bytes]:
    """Connections that ask once, and from then on send an empty line now and then instead of a request."""
    data = request(f"/embed?encoder={encoder}", b'{"inputs":["a"]}')

    async def client() -> bytes:
        end, first = time.monotonic() + seconds, b""
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            first = await reader.read(400)
            while time.monotonic() < end:
                writer.write(b"\r\n")
                await asyncio.sleep(1)
            writer.close()
        return first

    return list(await asyncio.gather(*(client() for _ in range(500))))


async def offers_in_pieces(port: int, encoder: str, seconds: float) -> list[bytes]:
    """Requests that offer HTTP/2 as Java's client does, a few bytes at a time."""
    offer = ("upgrade: h2c", "connection: Upgrade, HTTP2-Settings", "http2-settings: AAEAAEAA")
    data = request(f"/embed?encoder={encoder}", b'{"inputs":["a"]}', *offer)
    end = time.monotonic() + seconds

    async def client() -> bytes:
        first = b""
        while time.monotonic() < end:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for start in range(0, len(data), 7):
                    writer.write(data[start : start + 7])
                    await asyncio.sleep(0)
                first = first or await reader.read(400)
                writer.close()
        return first

    return list(await asyncio.gather(*(client() for _ in range(50))))


async def bad_hosts(port: int, encoder: str, seconds: float) -> list[bytes]:
    body = b'{"inputs":["a"]}'
    data = request(f"/embed?encoder={encoder}", body).replace(b"host: 127.0.0.1", b"host: evil.example")
    return await keep_asking(port, lambda: data, seconds, 4)


def png(width: int, height: int) -> str:
    """A black PNG of few bytes, as a data: address."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    pixels = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode()


async def strip(port: int, encoder: str, seconds: float) -> list[bytes]:
    """An image of one row and many columns."""
    wide = png(2_000_000, 1)
    return await repeat(port, lambda: _embed(encoder, [wide]), seconds, 4)


async def bombs(port: int, encoder: str, seconds: float) -> list[bytes]:
    """Many small files of 49 megapixels, each different."""
    address = png(7000, 7000)
    numbers = count()
    # A fragment after the payload's padding would be refused: the media type's parameter differs.
    names = (address.replace("image/png;", f"image/png;n={number};", 1) for number in numbers)
    return await repeat(port, lambda: _embed(encoder, [next(names) for _ in range(64)]), seconds, 2)


MEGABYTE = 1 << 20
WIDE_PART = json.dumps({"type": "text", "text": "a"} | {f"k{number}": None for number in range(60)}).encode()
WIDE_INPUT = b'{"content":[' + b",".join([WIDE_PART] * 8) + b"]}"
ATTACKS: dict[str, Attack] = {
    "null inputs, 2 MB": _body(b'{"inputs":[' + b"null," * (2 * MEGABYTE // 5) + b"null]}"),
    "null inputs, 31 MB": _body(b'{"inputs":[' + b"null," * (31 * MEGABYTE // 5) + b"null]}"),
    "empty texts, 31 MB": _body(b'{"inputs":[' + b'"",' * (31 * MEGABYTE // 3) + b'""]}'),
    "ids of one text, 30 MB": _body(b'{"inputs":[[' + b"101," * (30 * MEGABYTE // 4) + b"102]]}"),
    "nesting, 31 MB": _body(b'{"inputs":' + b"[" * (15 * MEGABYTE) + b"]" * (15 * MEGABYTE) + b"}"),
    "escapes, 31 MB": _body(b'{"inputs":["' + b'\\"' * (15 * MEGABYTE) + b'"]}'),
    "unknown field, 31 MB": _body(b'{"inputs":"a","x":[' + b"0," * (15 * MEGABYTE) + b"0]}"),
    "objects of 60 fields, 31 MB": _body(
        b'{"inputs":[' + b",".join([WIDE_INPUT] * (31 * MEGABYTE // (len(WIDE_INPUT) + 1))) + b"]}",
        "/v2/embed",
    ),
    "one text, 31 MB": _body(b'{"inputs":["' + b"ab " * (10 * MEGABYTE) + b'"]}'),
    "one word, 31 MB": _body(b'{"inputs":["' + b"a" * (31 * MEGABYTE) + b'"]}'),
    "gzip, 31 MB": lambda port, encoder, seconds: repeat(
        port,
        lambda: request(
            f"/embed?encoder={encoder}", gzip.compress(bytes(31 * MEGABYTE)), "content-encoding: gzip"
        ),
        seconds,
    ),
    "500 connections of queries": lone_queries,
    "bulk, 32 connections": bulk,
    "mean of long texts": mean,
    "tokenize, 32 connections": tokenize,
    "refusals, 200 connections": refused,
    "answers never read": unread,
    "200 requests that vanish": vanish,
    "bodies that stop": slow_bodies,
    "idle connections": descriptors,
    "foreign hosts": bad_hosts,
    "empty lines, 500 connections": empty_lines,
    "offers of HTTP/2 in pieces": offers_in_pieces,
}
IMAGE_ATTACKS: dict[str, Attack] = {"image of one row": strip, "64 images of 49 megapixels": bombs}
BODY_BYTES = {name: 2 if "2 MB" in name else 31 for name in ATTACKS if " MB" in name}
"""Megabytes of the body of an attack by one body at a time."""


def main() -> None:
    name, port, encoder, seconds = sys.argv[1:]
    answers = asyncio.run({**ATTACKS, **IMAGE_ATTACKS}[name](int(port), encoder, float(seconds)))
    print(next(filter(None, answers), b"").decode("latin-1"))


if __name__ == "__main__":
    main()
