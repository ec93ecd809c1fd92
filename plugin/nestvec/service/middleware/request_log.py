"""What is recorded of every request: its id, and a path that can be printed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from typing import Final

from nestvec.service.observability.observer import RequestRecord

_VALID_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")

RequestListener = Callable[[RequestRecord], None]


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that the client sent, or a new one if that is not 1 to 128 printable ASCII characters."""
    for name, value in headers:
        if name == b"x-request-id" and _VALID_REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    # An id only tells requests apart: for a secret number, the system would have to be asked.
    return f"{random.getrandbits(128):032x}"


def printable_path(path: str) -> str:
    """A path for a log: at most 200 characters, without line breaks and control characters."""
    return path[:200].encode("unicode_escape").decode("ascii")[:200]
