"""One row as it was read, and how formats write values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from nestvec_schemas.errors import RowRejected

MAX_ROW_BYTES: Final = 16 << 20
"""The longest row that is read."""

MAX_RAW_LENGTH: Final = 64 << 10
"""Characters of a row that could not be read that are kept."""


class SourceRow(NamedTuple):
    """One row as it was read. A tuple, as files have many."""

    place: str
    """Its line or number in the file."""

    value: Mapping[str, object] | RowRejected
    """Its cells by column, or why there are none."""

    raw: str = ""
    """The text of a row that could not be read, at most MAX_RAW_LENGTH characters."""


@dataclass(frozen=True)
class RowPosition:
    """A place between two rows of a file."""

    rows: int = 0
    """Rows before it."""

    offset: int = 0
    """Bytes of the file before it; 0 if only reading the rows before it says where it is."""

    lines: int = 0
    """Lines before it, where the offset is known."""


class JsonRow(dict[str, object]):
    """A row of JSON with its text, which has digits that its doubles may not have."""

    text: bytes = b""


@dataclass(frozen=True)
class CellTypes:
    """How a format represents values."""

    text: bool = False
    """Every value is a string."""

    json_text: bool = False
    """JSON is in strings."""

    null_text: bool = False
    """Another text than the empty one stands for null, so that an empty text is a text."""


class QuotedText(str):
    """A text that a file writes in quotes, though it reads as null without them: an empty text, not null."""

    __slots__ = ()


def too_long(start: str) -> RowRejected:
    """The reason of a row of more than MAX_ROW_BYTES that begins with ``start``."""
    return RowRejected(
        "the row is longer than 16 MiB",
        value=start,
        next_step="Split the row or its text into several rows.",
    )


def not_utf8(text: bytes, error: UnicodeDecodeError) -> RowRejected:
    """The reason of a row with a byte that is not UTF-8."""
    return RowRejected(
        "the row is not UTF-8",
        value=f"byte 0x{text[error.start]:02X} at byte {error.start + 1} of the row",
        next_step="Correct the row, or name the file's encoding: --encoding, in COPY ENCODING.",
    )
