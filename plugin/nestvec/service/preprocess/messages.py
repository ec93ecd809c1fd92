"""What a VARCHAR value tells a chat model: an image's address, a text, or a JSON object with both.

``{"image": "https://…/a.png", "text": "a red chair"}``; one of its keys may be missing, null or empty.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from nestvec.images import address_problem, is_address
from nestvec_schemas.errors import BodyInvalid, EmptyInput, nearest

_KEYS: Final = ("image", "text")
_MESSAGE_START: Final = re.compile(r'\s*\{\s*"(?:image|text)"\s*:')
_EXAMPLE: Final = 'Write it as {"image": "https://host/a.png", "text": "a red chair"}'
_TEXT_HINT: Final = 'to embed the object itself, write {"text": "…"} with the object as the string'


@dataclass(frozen=True)
class Message:
    """A text, an image's address, or both, and the instruction for the model."""

    text: str
    image: str | None = None
    instruction: str = ""


def is_message(value: str) -> bool:
    """Whether a value is more than a text: an address, or an object with an image or a text."""
    try:
        return _is_meant_as_address(value) or _parse_object(value) is not None
    except BodyInvalid:
        return True


def _is_meant_as_address(value: str) -> bool:
    return is_address(value) or address_problem(value) is not None


def parse_message(value: str, instruction: str = "") -> Message:
    """The message that a value is. Raises BodyInvalid, EmptyInput.

    A value that begins with a brace is a text, unless it is, or begins like, an object with an image or text.
    """
    if _is_meant_as_address(value):  # loading says what is wrong with one that is almost an address
        return Message("", value, instruction)
    fields = _parse_object(value)
    if fields is None:
        return Message(value, None, instruction)
    for key, field in fields.items():
        if key not in _KEYS:
            raise BodyInvalid(
                "a message can only have an image and a text",
                value=key,
                next_step=f"{_EXAMPLE}; {_TEXT_HINT}.{nearest(key, _KEYS)}",
            )
        if field is not None and not isinstance(field, str):
            raise BodyInvalid(f"a message's {key} is not a string", value=field, next_step=f"{_EXAMPLE}.")
    image, text = fields.get("image") or None, fields.get("text") or ""
    if image is None and not text:
        raise EmptyInput("a message has neither an image nor a text", value=value, next_step=f"{_EXAMPLE}.")
    if image is not None and not is_address(image):
        raise BodyInvalid(
            "a message's image is not the address of an image",
            value=f"a text of {len(image)} characters",
            next_step="Give a data:, https:, http:, file: or s3: address, with nothing around it.",
        )
    return Message(text, image, instruction)


def _parse_object(value: str) -> dict[str, Any] | None:
    """The JSON object that a value is, None for a text. Raises BodyInvalid for a malformed message."""
    if not value.lstrip().startswith("{"):
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        if not _MESSAGE_START.match(value):
            return None
        raise BodyInvalid(
            f"a message is not JSON ({error})", value=value[:80], next_step=f"{_EXAMPLE}."
        ) from error
    return parsed if isinstance(parsed, dict) and not parsed.keys().isdisjoint(_KEYS) else None
