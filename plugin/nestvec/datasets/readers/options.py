"""How a file is to be read, where its content does not say."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Final

import orjson

from nestvec_schemas.errors import FileUnreadable

_NAMES_OF_DELIMITERS: Final = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_POSTGRESQL_PREFIXES: Final = {"win": "cp", "koi8": "koi8_"}
_NO_QUOTE: Final = ("", "none")


@dataclass(frozen=True)
class ReadOptions:
    """What the content of a file does not say, or not reliably."""

    delimiter: str | None = None
    """The character between the cells of a CSV or TSV file; None to detect it."""

    quote: str = '"'
    """The character around a cell that contains a delimiter; empty for none."""

    escape: str | None = None
    """The character before a quote inside a quoted cell; None if quotes are doubled."""

    encoding: str | None = None
    """Python's, IANA's or PostgreSQL's name of the encoding; None for the byte order mark's, else UTF-8."""

    nulls: tuple[str, ...] = ()
    """Cells of a CSV or TSV file that stand for null."""

    columns: tuple[str, ...] | None = None
    """The names of the columns of a CSV or TSV file without a header, in order."""

    limit: int | None = None
    """Rows to read from the start of the file; None for all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "quote", "" if self.quote in _NO_QUOTE else self.quote)
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _pythons_encoding(self.encoding))
        if self.delimiter is not None:
            named = _NAMES_OF_DELIMITERS.get(self.delimiter.lower(), self.delimiter)
            object.__setattr__(self, "delimiter", named)
            _check_character("delimiter", named, "a comma, a semicolon, a tab or |")
        if self.quote:
            _check_character("quote", self.quote, '" or none')
        if self.escape is not None:
            _check_character("escape character", self.escape, "a backslash")
            object.__setattr__(self, "escape", None if self.escape == self.quote else self.escape)
        if self.delimiter is not None and self.delimiter in (self.quote, self.escape):
            raise FileUnreadable(
                "the delimiter is the quote or the escape character too",
                value=self.delimiter,
                next_step="Choose another character for one of them.",
            )

    def identity(self) -> str:
        """The options that decide what the rows of a file are, as text; empty if all are the defaults."""
        changed = {
            name: value
            for name, value in asdict(self).items()
            if name != "limit" and value != getattr(_DEFAULTS, name)
        }
        return orjson.dumps(changed).decode() if changed else ""


def _pythons_encoding(name: str) -> str:
    """An encoding's name for Python, which does not know a few of PostgreSQL's: WIN1252, KOI8R."""
    match = re.fullmatch(r"(?i)(win|koi8)(\d{3,4}|[ru])", name)
    return f"{_POSTGRESQL_PREFIXES[match[1].lower()]}{match[2].lower()}" if match else name


def _check_character(what: str, text: str, example: str) -> None:
    if len(text) != 1 or text in "\r\n\0" or (not text.isprintable() and text != "\t"):
        raise FileUnreadable(f"the {what} is not one character", value=text, next_step=f"Write {example}.")


_DEFAULTS = ReadOptions()
