"""Values, names and statements as messages show them: short, printable, without secrets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_MAX_VALUE_LENGTH = 200
"""Characters of a value that a message shows."""

_MAX_SENTENCE_LENGTH = 2000
"""Characters of a cause, or of a next step, that a message shows: they may contain what a client sent."""

_MAX_COMPARED_LENGTH = 100
"""Characters of a name beyond which none is similar."""

_SECRET = re.compile(
    r"([?&](?:[\w-]*(?:key|secret|password|passwd|signature|credential)|(?:[\w-]*[_-])?token|sig)=)[^&\s'\"]+",
    re.IGNORECASE,
)
"""A secret in an address's query string, and the name before it."""

_PASSWORD = re.compile(r"(://[^/?#\s:@]*:)[^/?#\s@]+@")
"""A password in an address, and the user before it."""


def shown(value: object) -> str:
    """A value as messages show it: at most 200 characters, and without the secrets of an address."""
    return printable(value if isinstance(value, str) else repr(value), _MAX_VALUE_LENGTH)


def printable(text: str, max_length: int = _MAX_SENTENCE_LENGTH) -> str:
    """A text of at most ``max_length`` characters, valid UTF-8, without the secrets of an address."""
    part = text[:max_length].encode("utf-8", "backslashreplace").decode("utf-8")
    # An address that is cut has its secret cut, too.
    part = _PASSWORD.sub(r"\1…@", _SECRET.sub(r"\1…", part))
    return part if len(text) <= max_length else f"{part}… ({len(text)} characters)"


def nearest(name: str, offered: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the offered name closest to ``name``, else an empty string."""
    if len(name) > _MAX_COMPARED_LENGTH:
        return ""
    close = difflib.get_close_matches(name, list(offered), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def with_caret(statement: str, position: int) -> str:
    """The statement's line around ``position``, at most 100 characters, with a caret below."""
    start = statement.rfind("\n", 0, position) + 1
    end = statement.find("\n", position)
    line = statement[start : end if end >= 0 else len(statement)]
    column = position - start
    left = max(0, column - 60)
    return f"  {line[left : left + 100]}\n  {' ' * (column - left)}^"
