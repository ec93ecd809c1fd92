"""Inputs that say whether they are texts or images: Cohere's contents of parts, and Jina's objects."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, SkipValidation

from nestvec.service.bodies.fields import ReadBy, TokenId
from nestvec.service.bodies.json_scanner import invalid
from nestvec.service.bodies.readers import BodyReader
from nestvec.service.bodies.small_body import accept_inputs
from nestvec.service.preprocess.inputs import InputPart
from nestvec_schemas.towers import Modality

MAX_PARTS: Final = 8
"""Parts of one input."""


class ImageUrl(BaseModel):
    """An image's address; other fields, such as ``detail``, are ignored."""

    url: str


class ContentPart(BaseModel):
    """A text or an image, as its ``type`` says."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: ImageUrl | str | None = None


class Content(BaseModel):
    """One input of Cohere's v2."""

    content: list[ContentPart]


class JinaInput(BaseModel):
    """One input as Jina writes it: either field."""

    text: str | None = None
    image: str | None = None


def _read_contents(reader: BodyReader, where: str) -> list[list[InputPart]]:
    return reader.objects(where, partial(_read_content, reader), reader.limits.inputs, "a list of inputs")


def _read_content(reader: BodyReader, where: str) -> list[InputPart]:
    values = reader.fields(where, {"content": _read_parts})
    if "content" not in values:
        raise invalid(where, "an object without a content")
    parts: list[InputPart] = values["content"]
    return parts


def _read_parts(reader: BodyReader, where: str) -> list[InputPart]:
    return reader.objects(where, partial(_read_part, reader), MAX_PARTS, "a list of parts")


def _read_part(reader: BodyReader, where: str) -> InputPart:
    values = reader.fields(where, {"text": BodyReader.text, "image_url": _read_image_url})
    modalities: dict[Any, Modality] = {"text": "text", "image_url": "image"}
    kind = values.get("type")
    if not isinstance(kind, str) or kind not in modalities or kind not in values:
        raise invalid(where, "neither a text of type text nor an image_url of type image_url")
    return InputPart(modalities[kind], values[kind])


def _read_image_url(reader: BodyReader, where: str) -> str:
    if reader.scanner.starts_with(b'"'):
        return reader.text(where)
    if not reader.scanner.starts_with(b"{"):
        raise invalid(where, f"{reader.scanner.kind()}, not a url or an object with one")
    values = reader.fields(where, {"url": BodyReader.text})
    if "url" not in values:
        raise invalid(where, "an object without a url")
    url: str = values["url"]
    return url


def _read_inputs(reader: BodyReader, where: str) -> Any:
    if reader.scanner.starts_list_of(b"{"):
        read = partial(_read_jina_input, reader)
        return reader.objects(where, read, reader.limits.inputs, "a list of inputs")
    return reader.inputs(where)


def _read_jina_input(reader: BodyReader, where: str) -> InputPart:
    values = reader.fields(where, {"text": BodyReader.text, "image": BodyReader.text})
    if ("text" in values) == ("image" in values):
        raise invalid(where, "not an object with either a text or an image")
    return InputPart("text", values["text"]) if "text" in values else InputPart("image", values["image"])


Contents = Annotated[list[Content], SkipValidation(), ReadBy(_read_contents)]
"""Cohere's inputs; read as the parts of each: the values are ``list[list[InputPart]]``."""

InputsOrParts = Annotated[
    str | list[str] | list[TokenId] | list[list[TokenId]] | list[JinaInput],
    SkipValidation(),
    ReadBy(_read_inputs, accept_inputs),
]
"""``Inputs``, or Jina's objects, which are read as ``list[InputPart]``."""
