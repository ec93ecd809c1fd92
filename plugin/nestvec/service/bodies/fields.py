"""Types for the fields of a request's model that hold texts or token ids."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, get_args

from pydantic import BaseModel, Field, SkipValidation

from nestvec.service.bodies.readers import BodyReader, Read, nullable

TokenId = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""An id that fits an int32; whether the encoder knows it is checked later, with a better message."""


@dataclass(frozen=True)
class ReadBy:
    """Marks a field whose values a ``BodyReader`` reads and checks, so that pydantic need not."""

    read: Read


Text = Annotated[str, SkipValidation(), ReadBy(BodyReader.text)]
"""A text, such as a query; a field of another string, such as a name, is a ``str``."""

Texts = Annotated[list[str], SkipValidation(), ReadBy(BodyReader.texts)]

TextOrTexts = Annotated[str | list[str], SkipValidation(), ReadBy(BodyReader.text_or_texts)]

Inputs = Annotated[
    str | list[str] | list[TokenId] | list[list[TokenId]], SkipValidation(), ReadBy(BodyReader.inputs)
]
"""A text, texts, the token ids of a text, or those of several: each text's are an ``array`` of int32."""


class TextDocument(BaseModel):
    """A document as Cohere's v1 may write it."""

    text: str


Documents = Annotated[list[str | TextDocument], SkipValidation(), ReadBy(BodyReader.documents)]
"""Texts, or objects that hold one as ``text``; read as the texts."""

_NULL: Final = type(None)


def readers_of(model: type[BaseModel]) -> dict[str, Read]:
    """The reader of each of the model's fields that has one, by the name in the body."""
    readers: dict[str, Read] = {}
    for name, field in model.model_fields.items():
        alternatives = get_args(field.annotation)
        metadata = [*field.metadata, *(mark for part in alternatives for mark in get_args(part)[1:])]
        mark = next((mark for mark in metadata if isinstance(mark, ReadBy)), None)
        if mark is not None:
            read = nullable(mark.read) if _NULL in alternatives else mark.read
            readers[field.alias or name] = read
    return readers


def is_ids(value: object) -> bool:
    """Whether an input is the token ids of a text."""
    return isinstance(value, array) or (isinstance(value, Sequence) and not isinstance(value, str))
