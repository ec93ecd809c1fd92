"""An image and a text as one message to a chat model: how it is laid out and truncated.

The layouts are strings with a slot for the text. They are filled before tokenizing, as in the checkpoint's
own processor, because a tokenizer may split a text differently than its pieces.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nestvec_schemas.errors import InputTooLong

TEXT_SLOT: Final = "{text}"
"""The place of the instruction and the text in a layout."""

Ids = NDArray[np.int64]


class ChatLayout(BaseModel):
    """How a message is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pictured: str
    """The layout of a message with an image."""

    alone: str
    """The layout of a message without an image."""

    placeholder: Annotated[str, Field(min_length=2)]
    """The token that stands for an image in ``pictured``."""

    token: Annotated[int, Field(ge=0)]
    """The id of the placeholder."""

    count: Annotated[int, Field(ge=1)]
    """The number of placeholders of an image when the message is tokenized."""

    special: bool = True
    """Whether the tokenizer adds its own special tokens around the message."""

    @model_validator(mode="after")
    def _has_its_slots(self) -> ChatLayout:
        for layout, images in ((self.pictured, 1), (self.alone, 0)):
            if (layout.count(TEXT_SLOT), layout.count(self.placeholder)) != (1, images):
                raise ValueError(
                    f"{layout!r} must have {TEXT_SLOT} once, and {self.placeholder} {images} times"
                )
        return self


class RenderedMessage(NamedTuple):
    """A message as a string, and where the text that may be truncated begins and ends in it."""

    text: str
    start: int
    stop: int


def render_message(chat: ChatLayout, text: str, *, pictured: bool, instruction: str = "") -> RenderedMessage:
    """The message of a text, with or without an image; the instruction before the text is never truncated.

    A placeholder inside the text is broken by a space: an image has one place.
    """
    layout = chat.pictured if pictured else chat.alone
    before, _, after = (part for part in layout.partition(TEXT_SLOT))
    shown = chat.placeholder * chat.count
    head = before.replace(chat.placeholder, shown) + _escape_placeholder(instruction, chat)
    body = _escape_placeholder(text, chat)
    return RenderedMessage(
        head + body + after.replace(chat.placeholder, shown), len(head), len(head) + len(body)
    )


def truncate_message(
    ids: Ids,
    offsets: NDArray[np.int64],
    message: RenderedMessage,
    max_tokens: int,
    side: Literal["right", "left"],
) -> Ids:
    """At most ``max_tokens`` ids of a message, (t,): its text loses tokens on a side, its layout none.

    ``offsets`` is (t, 2): the characters of each token. Raises InputTooLong if the layout alone is longer
    than ``max_tokens``.
    """
    excess = len(ids) - max_tokens
    if excess <= 0:
        return ids
    start, stop = offsets[:, 0], offsets[:, 1]
    removable = np.flatnonzero((start >= message.start) & (stop <= message.stop) & (stop > start))
    if len(removable) < excess:
        raise InputTooLong(
            f"an image and its instruction have more tokens than the encoder accepts, {max_tokens}",
            value=len(ids) - len(removable),
            next_step="Export it with a larger --max-tokens, or shorten the prompt.",
        )
    removed = removable[-excess:] if side == "right" else removable[:excess]
    return np.delete(ids, removed)


def _escape_placeholder(text: str, chat: ChatLayout) -> str:
    return text.replace(chat.placeholder, f"{chat.placeholder[0]} {chat.placeholder[1:]}")
