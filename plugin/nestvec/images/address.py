"""Whether a text is an image's address, and how an address is shown without its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Scheme = Literal["data", "file", "http", "https", "s3"]

# Whitespace and control characters: an address has none, so a sentence is never taken for an address.
_WHITESPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")

_PATTERNS: dict[Scheme, re.Pattern[str]] = {
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

_MAX_SHOWN_CHARACTERS = 120


@dataclass(frozen=True)
class ImageAddress:
    """Where an image is: the ``text`` as it was written, and its scheme."""

    scheme: Scheme
    text: str

    @property
    def shown(self) -> str:
        """The address as messages show it: abbreviated, without payload, password, query or fragment."""
        if self.scheme == "data":
            meta, _, payload = self.text.partition(",")
            return f"{_abbreviated(meta)},… ({len(payload)} characters)"
        return redacted_url(self.text)


def parse_address(text: str) -> ImageAddress | None:
    """The address that a text consists of, None for any other text.

    A ``data:`` URI counts if its media type is an image's, or generic bytes.
    """
    for scheme, shape in _PATTERNS.items():
        if shape.match(text):
            return None if _WHITESPACE.search(text) else ImageAddress(scheme, text)
    return None


def is_address(text: str) -> bool:
    """Whether a text consists of an image's address."""
    return parse_address(text) is not None


def redacted_url(url: str) -> str:
    """A URL as messages show it: abbreviated, without password, query or fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that hold no IPv6 address
        return _abbreviated(url.partition(":")[0]) + ":…"
    host = parts.netloc.rpartition("@")[2]
    hidden = "?…" if parts.query or parts.fragment else ""
    return _abbreviated(f"{parts.scheme}://{host}{parts.path}") + hidden


def _abbreviated(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"
