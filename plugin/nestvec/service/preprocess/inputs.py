"""What is embedded: a text, its ids, a picture's address, a query with a document."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestvec.service.preprocess.tokenizer import Direction
from nestvec.service.settings import OnError
from nestvec_schemas.errors import EmptyInput, NestvecError


@dataclass(frozen=True)
class QueryDocument:
    """A query with a document, for a cross-encoder to score."""

    query: str
    document: str

    def __len__(self) -> int:
        return len(self.query) + len(self.document)


@dataclass(frozen=True)
class InstructedText:
    """A value for a chat model, and the instruction that says what to do with it."""

    value: str
    instruction: str

    def __str__(self) -> str:
        return f"{self.instruction}{self.value}"

    def __len__(self) -> int:
        return len(self.value) + len(self.instruction)


EmbedInput = str | Sequence[int] | QueryDocument | InstructedText


@dataclass(frozen=True)
class Cut:
    """What becomes of a text longer than the encoder takes: cut on one side, or refused; and of what cannot
    be read at all."""

    allowed: bool = True
    direction: Direction = "right"
    on_error: OnError = "error"


def input_digest(value: EmbedInput) -> tuple[str, bytes]:
    """What kind of input it is, and 16 bytes that tell it from others of its kind. Raises EmptyInput."""
    if isinstance(value, QueryDocument):
        parts = (
            value.query.encode("utf-8", "surrogatepass"),
            value.document.encode("utf-8", "surrogatepass"),
        )
        # The length keeps a query's end from a document's beginning.
        kind, data = f"pair {len(parts[0])}", parts[0] + parts[1] if all(parts) else b""
    elif isinstance(value, InstructedText):
        instruction, data = (
            part.encode("utf-8", "surrogatepass") for part in (value.instruction, value.value)
        )
        kind, data = f"instructed {len(instruction)}", instruction + data if data else b""
    elif isinstance(value, str):
        kind, data = "text", value.encode("utf-8", "surrogatepass")
    else:
        kind, data = "ids", np.asarray(value, "<i8").tobytes()
    if not data:
        raise EmptyInput("a text is empty", next_step="Send at least one character or token.")
    return kind, hashlib.blake2b(data, digest_size=16).digest()


def with_position(error: NestvecError, place: int, count: int) -> NestvecError:
    """The error with which of a request's ``count`` inputs it is about; ``place`` counts from 0."""
    if count == 1:
        return error
    cause = f"input {place + 1} of {count}: {error.cause}"
    if error.value is None:
        return type(error)(cause, next_step=error.next_step)
    return type(error)(cause, value=error.value, next_step=error.next_step)
