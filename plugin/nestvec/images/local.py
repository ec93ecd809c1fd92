"""Images that need no network: in the address itself, or in a folder of the service's machine."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from nestvec.images.address import ImageAddress
from nestvec.images.fetch_errors import malformed, refused, too_large, unreachable
from nestvec.images.policy import ImagePolicy

_STEP: Final = 256 << 10
"""Characters of a payload that are decoded at once."""


def read_data(address: ImageAddress, policy: ImagePolicy) -> bytes:
    """The content of a ``data:`` URI (RFC 2397). Raises ImageUnreachable."""
    max_bytes = policy.limits.max_bytes
    comma = address.text.find(",")
    if len(address.text) - comma - 1 > 3 * max_bytes:  # as long as escapes (%41) can make it
        raise too_large(max_bytes, address.shown)
    parts = _unquoted(address.text, comma + 1)
    if address.text[max(0, comma - 7) : comma].lower() == ";base64":
        parts = _decoded(parts)
    data = bytearray()
    try:
        for part in parts:
            data += part
            if len(data) > max_bytes:
                raise too_large(max_bytes, address.shown)
    except (binascii.Error, ValueError) as error:
        raise unreachable("its address is not valid base64", address.shown) from error
    return bytes(data)


def _unquoted(text: str, start: int) -> Iterator[bytes]:
    """The bytes of a payload without its escapes, in steps: a call into C for all of it would keep Python's
    interpreter lock, and the event loop waiting."""
    while start < len(text):
        end = start + _STEP
        # Not in the middle of an escape.
        escape = text.rfind("%", end - 2, end)
        end = escape if escape > start else end
        yield unquote_to_bytes(text[start:end])
        start = end


def _decoded(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Base64, decoded part by part. Raises ValueError."""
    rest, is_padded = b"", False
    for part in parts:
        bare, padding, behind = part.partition(b"=")
        if behind.strip(b"=") or (is_padded and bare):
            raise ValueError("data behind the padding")
        is_padded = is_padded or bool(padding)
        rest += bare
        end = len(rest) // 4 * 4
        yield _decoded_part(rest[:end])
        rest = rest[end:]
    yield _decoded_part(rest)


def _decoded_part(bare: bytes) -> bytes:
    return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)


def read_file(address: ImageAddress, policy: ImagePolicy) -> bytes:
    """The file that a ``file:`` URI (RFC 8089) names, which must be in one of the policy's roots.

    Links are resolved first. Raises ImageRefused outside of the roots, whether or not the file exists, and
    ImageUnreachable.
    """
    shown = address.shown
    path = _file_path(address)
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(os.path.realpath(root)) for root in policy.roots):
        raise refused("from this folder", shown, "the folder (--image-root)")
    try:
        # The flags refuse a link that was put there meanwhile, and do not block on a pipe.
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise unreachable("it is not a file", shown)
            data = file.read(policy.limits.max_bytes + 1)
    except OSError as error:
        raise unreachable(error.strerror or "it cannot be read", shown) from error
    if len(data) > policy.limits.max_bytes:
        raise too_large(policy.limits.max_bytes, shown)
    return data


def _file_path(address: ImageAddress) -> str:
    try:
        parts = urlsplit(address.text)
        path = unquote(parts.path, errors="strict")
        os.fsencode(path)
    except ValueError as error:
        raise malformed("is not a file URI", address.shown, "Percent-encode it as UTF-8.") from error
    if parts.netloc.lower() not in ("", "localhost"):
        raise malformed("names a host for a file", address.shown, "Write file:///, then the path.")
    if parts.query or parts.fragment or "\0" in path:
        raise malformed("has more than a path", address.shown, "Write %3F for ? and %23 for #.")
    return path
