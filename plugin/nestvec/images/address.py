"""Whether a text is an image's address, and how an address is shown without its secrets."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Scheme = Literal["data", "file", "http", "https", "s3"]

# Whitespace and control characters: an address has none, so a sentence is never taken for an address.
_WHITESPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")

_CHECKED_CHARACTERS = 4096
"""How far whitespace is looked for: no sentence is without for so long, and a ``data:`` URI has millions."""

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

_EXTENSION = r"\.(?:jpe?g|png|webp|gif|avif|tiff?|bmp)(?:\?\S*)?"

# What people and programs write in place of an address, and what is wrong with it; nothing is around it.
# No sentence is like these: they have no white space, or begin with a whole address.
_BASE64 = "is not written data:image/png;base64, and the data"
_ALMOST: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.ASCII | re.DOTALL), problem)
    for pattern, problem in (
        (r"data:[^\s,]*;base64,.*\s.*", "has white space in its data"),
        (r"data:[^\s,]*;?base64,?", "has no data"),
        (r"data:[^\s,]*;?base64(?:,\S+|[\s:;]\s*[\w+/=]{8,})", _BASE64),
        (r"data:image/[^\s,]*,?", "has no data"),
        (r"data:image/[\w.+-]+[;,].*", _BASE64),
        (r"[a-z]{0,10}:?/*image/[\w.+-]+;base64,\S*", "does not begin with data:"),
        (r"https?:(?:[^/\s\x80-\U0010ffff][!-~]*|/\S*)", "is not written https://, a host and a path"),
        (r"file:(?:/\S*|[!-~]+)", "is not written file:/// and an absolute path"),
        (r"s3:(?:/\S*|[!-~]+)", "is not written s3://, a bucket, / and a key"),
        (r"[a-z][a-z0-9+.-]{1,15}:/{1,3}\S+", "has a scheme that no image is fetched by"),
        (r"(?:https?|file|s3)://\S.*" + _EXTENSION, "has white space in it"),
        (r"(?:/|www\.|[\w-]+(?:\.[\w-]+)+/)\S*" + _EXTENSION, "has no scheme"),
    )
)

_AROUND = string.whitespace + "\u00a0\"'<>`\ufeff\u200b"
"""White space, quotes and marks that are pasted around addresses."""

_MAX_HEAD = 4096
"""Characters that are looked at."""


@dataclass(frozen=True)
class ImageAddress:
    """Where an image is: the ``text`` as it was written, and its scheme."""

    scheme: Scheme
    text: str

    @property
    def shown(self) -> str:
        """The address as messages show it: abbreviated, without payload, password, query or fragment."""
        if self.scheme == "data":
            comma = self.text.find(",")  # the payload may have megabytes: it is not copied
            return f"{_abbreviated(self.text[:comma])},… ({len(self.text) - comma - 1} characters)"
        return redacted_url(self.text)


def parse_address(text: str) -> ImageAddress | None:
    """The address that a text consists of, None for any other text.

    A ``data:`` URI counts if its media type is an image's, or generic bytes.
    """
    for scheme, shape in _PATTERNS.items():
        if shape.match(text):
            has_space = _WHITESPACE.search(text, 0, _CHECKED_CHARACTERS)
            return None if has_space else ImageAddress(scheme, text)
    return None


def is_address(text: str) -> bool:
    """Whether a text consists of an image's address."""
    return parse_address(text) is not None


def address_problem(text: str) -> str | None:
    """What keeps a text from being an image's address although it was meant as one, None for any other text.

    It completes "an image's address". An ordinary sentence is none, also if it is about addresses.
    """
    bare = text.strip(_AROUND)
    first_word = bare[:_MAX_HEAD].split(maxsplit=1)[:1]
    if not first_word or not (":" in first_word[0] or "/" in first_word[0]):
        return None  # of most texts, this is all that is looked at
    if parse_address(text) is not None:
        return None
    if len(bare) < len(text) and parse_address(bare) is not None:
        return "has white space or quotes around it"
    if len(bare) > _MAX_HEAD and bare[:5].lower() != "data:":
        return None
    return next((problem for shape, problem in _ALMOST if shape.fullmatch(bare[:_MAX_HEAD])), None)


def redacted_url(url: str) -> str:
    """A URL as messages show it: abbreviated, without password, query or fragment."""
    if len(url) > _CHECKED_CHARACTERS:  # where its password ends may be far behind
        scheme = url[:_CHECKED_CHARACTERS].partition(":")[0]
        return f"{_abbreviated(scheme)}:… ({len(url)} characters)"
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that hold no IPv6 address
        return _abbreviated(url.partition(":")[0]) + ":…"
    host = parts.netloc.rpartition("@")[2]
    hidden = "?…" if parts.query or parts.fragment else ""
    return _abbreviated(f"{parts.scheme}://{host}{parts.path}") + hidden


def _abbreviated(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"
