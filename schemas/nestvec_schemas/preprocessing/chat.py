"""A picture and a text as one message to a chat model: how it is written, and how it is cut.

The layouts are strings with a slot for the text. They are filled in before tokenizing, as the checkpoint's
own processor does, because a tokenizer may read a text otherwise than its pieces.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nestvec_schemas.errors import InputTooLong

TEXT_SLOT: Final = "{text}"
"""Where the instruction and the text stand in a layout."""

Ids = NDArray[np.int64]


class ChatLayout(BaseModel):
    """How a message is written: ``pictured`` with a picture, ``alone`` without.

    ``placeholder`` is the token that stands for a picture in ``pictured``, ``token`` its id, and ``count``
    how often it stands there when the picture is seen. ``special``: the tokenizer's own special tokens go
    around the message.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pictured: str
    alone: str
    placeholder: Annotated[str, Field(min_length=2)]
    token: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=1)]
    special: bool = True

    @model_validator(mode="after")
    def _has_its_slots(self) -> ChatLayout:
        for layout, pictures in ((self.pictured, 1), (self.alone, 0)):
            if (layout.count(TEXT_SLOT), layout.count(self.placeholder)) != (1, pictures):
                raise ValueError(
                    f"{layout!r} must have {TEXT_SLOT} once, and {self.placeholder} {pictures} times"
                )
        return self


class RenderedMessage(NamedTuple):
    """A message as a string, and where the text that may be cut begins and ends in it."""

    text: str
    start: int
    stop: int


def render_message(chat: ChatLayout, text: str, *, pictured: bool, instruction: str = "") -> RenderedMessage:
    """The message of a text, with a picture or without; the instruction before the text is never cut.

    A placeholder inside the text is broken by a space: a picture has one place.
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
    """The ids of a message, (t,), at most ``most`` of them: its text loses tokens on a side, its layout none.

    ``offsets`` is (t, 2): the characters that each token stands for. Raises InputTooLong where the rest is
    longer than ``most`` already.
    """
    excess = len(ids) - max_tokens
    if excess <= 0:
        return ids
    start, stop = offsets[:, 0], offsets[:, 1]
    removable = np.flatnonzero((start >= message.start) & (stop <= message.stop) & (stop > start))
    if len(removable) < excess:
        raise InputTooLong(
            f"a picture and its instruction take more tokens than the encoder reads, {max_tokens}",
            value=len(ids) - len(removable),
            next_step="Export it with a larger --max-tokens, or shorten the prompt.",
        )
    removed = removable[-excess:] if side == "right" else removable[:excess]
    return np.delete(ids, removed)


def _escape_placeholder(text: str, chat: ChatLayout) -> str:
    return text.replace(chat.placeholder, f"{chat.placeholder[0]} {chat.placeholder[1:]}")
