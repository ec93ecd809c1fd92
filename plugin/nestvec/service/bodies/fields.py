"""Types for the fields of a request's model that hold texts or token ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, Field, SkipValidation

from nestvec.service.bodies.readers import BodyReader, InputLimits, Read, nullable
from nestvec.service.bodies.small_body import (
    Accept,
    accept_inputs,
    accept_nullable_texts,
    accept_text,
    accept_text_or_texts,
    accept_texts,
    parse_small,
)

TokenId = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""An id that fits an int32; whether the encoder knows it is checked later, with a better message."""


@dataclass(frozen=True)
class ReadBy:
    """Marks a field whose values a ``BodyReader`` reads and checks, so that pydantic need not."""

    read: Read
    accept: Accept | None = None
    """The same for the parsed values of small bodies; without it, they are read as large ones are."""


Text = Annotated[str, SkipValidation(), ReadBy(BodyReader.text, accept_text)]
"""A text, such as a query; a field of another string, such as a name, is a ``str``."""

Texts = Annotated[list[str], SkipValidation(), ReadBy(BodyReader.texts, accept_texts)]

TextOrTexts = Annotated[
    str | list[str], SkipValidation(), ReadBy(BodyReader.text_or_texts, accept_text_or_texts)
]

Inputs = Annotated[
    str | list[str] | list[TokenId] | list[list[TokenId]],
    SkipValidation(),
    ReadBy(BodyReader.inputs, accept_inputs),
]
"""A text, texts, the token ids of a text, or those of several: each text's are an ``array`` of int32."""


NullableTexts = Annotated[
    list[str | None], SkipValidation(), ReadBy(BodyReader.nullable_texts, accept_nullable_texts)
]
"""Texts; a null is read as an empty one, so that the values are ``list[str]``."""


class TextDocument(BaseModel):
    """A document as Cohere's v1 may write it."""

    text: str | None


Documents = Annotated[
    list[str | TextDocument | None], SkipValidation(), ReadBy(BodyReader.documents, accept_nullable_texts)
]
"""Texts, or objects that hold one as ``text``; read as the texts: the values are ``list[str]``."""

_NULL: Final = type(None)


@dataclass(frozen=True)
class FieldReaders:
    """How the large fields of a model are read, by their names in the body."""

    readers: Mapping[str, Read]
    accepts: Mapping[str, Accept | None]

    def read(self, data: bytes | bytearray, limits: InputLimits) -> dict[str, Any]:
        """The fields of a body. Raises BodyNotJson, BodyInvalid, TooManyInputs, InputTooLong."""
        return BodyReader(data, limits).body(self.readers)

    def read_small(self, data: bytes | bytearray, limits: InputLimits) -> dict[str, Any]:
        """The same, quicker, for small bodies."""
        values = parse_small(data, self.accepts, limits)
        return self.read(data, limits) if values is None else values


def field_readers(model: type[BaseModel]) -> FieldReaders:
    """The readers of those fields of a model that have one."""
    readers: dict[str, Read] = {}
    accepts: dict[str, Accept | None] = {}
    for field_name, field in model.model_fields.items():
        alternatives = get_args(field.annotation)
        metadata = [*field.metadata, *(mark for part in alternatives for mark in get_args(part)[1:])]
        mark = next((mark for mark in metadata if isinstance(mark, ReadBy)), None)
        if mark is not None:
            name = field.alias or field_name
            is_nullable = _NULL in alternatives
            readers[name] = nullable(mark.read) if is_nullable else mark.read
            accepts[name] = _nullable_accept(mark.accept) if is_nullable else mark.accept
    return FieldReaders(readers, accepts)


def _nullable_accept(accept: Accept | None) -> Accept | None:
    if accept is None:
        return None
    return lambda value, limits: None if value is None else accept(value, limits)
