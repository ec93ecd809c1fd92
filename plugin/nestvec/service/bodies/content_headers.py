"""What a request's headers say about its body: only JSON in UTF-8 is read, as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from nestvec_schemas.errors import BodyTypeUnsupported

_JSON: Final = re.compile(
    r'\s*application/(?:json|[\w.!#$&^-]+\+json)\s*(?:;\s*charset\s*=\s*"?(?P<charset>[^\s";]*)"?\s*)?(?:;.*)?',
    re.IGNORECASE,
)
_CHARSETS: Final = (None, "utf-8", "utf8", "us-ascii", "ascii")


_NAMES: Final = ("content-type", "content-encoding")
_ABOUT_CONTENT: Final = frozenset(name.encode() for name in _NAMES)
_MAX_ACCEPTED: Final = 256
_MAX_ACCEPTED_BYTES: Final = 256
"""Sets of headers that are kept, and bytes of their names and values: a client chooses how many it sends."""


class ContentHeaders:
    """Checks headers as a server has them; those that were right are remembered, as most send the same."""

    def __init__(self) -> None:
        self._accepted: set[tuple[tuple[bytes, bytes], ...]] = set()

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise what ``check_content`` does."""
        about_content = tuple([header for header in headers if header[0] in _ABOUT_CONTENT])
        if about_content in self._accepted:
            return
        check_content({name: _all_values(about_content, name.encode()) for name in _NAMES})
        size = sum(len(name) + len(value) for name, value in about_content)
        if size <= _MAX_ACCEPTED_BYTES and len(self._accepted) < _MAX_ACCEPTED:
            self._accepted.add(about_content)


def _all_values(headers: Iterable[tuple[bytes, bytes]], header: bytes) -> str:
    """The values of a header that may be there several times, each once: they must not differ."""
    values = [value.decode("latin-1") for name, value in headers if name == header]
    return ", ".join(dict.fromkeys(values))


def check_content(headers: Mapping[str, str]) -> None:
    """Raise BodyTypeUnsupported for another type or charset than JSON's, and for a compressed body."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise BodyTypeUnsupported(
            "the body is compressed, which the service does not read",
            value=f"content-encoding: {encoding}",
            next_step="Send it without a content encoding.",
        )
    # A browser sends other types from pages of any site, so a body without a type is not read as JSON.
    content_type = headers.get("content-type", "")
    match = _JSON.fullmatch(content_type[:200])
    if match is None:
        raise BodyTypeUnsupported(
            "the body is not declared as JSON",
            value=content_type or "there is no content type",
            next_step="The content type is application/json.",
        )
    charset = match["charset"]
    if charset is not None and charset.lower() not in _CHARSETS:
        raise BodyTypeUnsupported(
            "the body is not in UTF-8", value=f"charset={charset}", next_step="Send UTF-8."
        )
