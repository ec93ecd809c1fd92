"""Whether a text is a picture's address, and how an address is told without its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Scheme = Literal["data", "file", "http", "https", "s3"]

# Whitespace and control characters: no address has any, so that a sentence is never taken for one.
_BROKEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")

_SHAPES: dict[Scheme, re.Pattern[str]] = {
    "data": re.compile(
        r"data:(?:image/[\w.+-]+|application/octet-stream|(?=[^,]*;base64,))(?:;[\w.+-]+=[\w.+-]*)*"
        r"(?:;base64)?,.",
        re.IGNORECASE | re.ASCII,
    ),
    "file": re.compile(r"file:(?://[^/?#]*)?/[^/]", re.IGNORECASE),
    "http": re.compile(r"http://[^/?#]", re.IGNORECASE),
    "https": re.compile(r"https://[^/?#]", re.IGNORECASE),
    "s3": re.compile(r"s3://[^/?#]+/.", re.IGNORECASE),
}

_SHOWN = 120


@dataclass(frozen=True)
class Address:
    """Where a picture is: the ``text`` as it was written, and its scheme."""

    scheme: Scheme
    text: str

    @property
    def shown(self) -> str:
        """The address for a message: no payload, password, query or fragment, and kept short."""
        if self.scheme == "data":
            meta, _, payload = self.text.partition(",")
            return f"{_short(meta)},… ({len(payload)} characters)"
        return shown(self.text)


def parse(text: str) -> Address | None:
    """The address that a text is, as a whole; None for any other text.

    A ``data:`` URI counts where it says that it holds an image, or bytes of no kind.
    """
    for scheme, shape in _SHAPES.items():
        if shape.match(text):
            return None if _BROKEN.search(text) else Address(scheme, text)
    return None


def is_address(text: str) -> bool:
    """Whether a text, as a whole, is a picture's address."""
    return parse(text) is not None


def shown(url: str) -> str:
    """A URL for a message: no password, query or fragment, and kept short."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that hold no IPv6 address
        return _short(url.partition(":")[0]) + ":…"
    host = parts.netloc.rpartition("@")[2]
    hidden = "?…" if parts.query or parts.fragment else ""
    return _short(f"{parts.scheme}://{host}{parts.path}") + hidden


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
