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

SLOT: Final = "{text}"
"""Where the instruction and the text stand in a layout."""

Ids = NDArray[np.int64]


class Chat(BaseModel):
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
    def _has_its_slots(self) -> Chat:
        for layout, pictures in ((self.pictured, 1), (self.alone, 0)):
            if (layout.count(SLOT), layout.count(self.placeholder)) != (1, pictures):
                raise ValueError(f"{layout!r} must have {SLOT} once, and {self.placeholder} {pictures} times")
        return self


class Rendered(NamedTuple):
    """A message as a string, and where the text that may be cut begins and ends in it."""

    text: str
    start: int
    stop: int


def render(chat: Chat, text: str, *, pictured: bool, instruction: str = "") -> Rendered:
    """The message of a text, with a picture or without; the instruction before the text is never cut.

    A placeholder inside the text is broken by a space: a picture has one place.
    """
    layout = chat.pictured if pictured else chat.alone
    before, _, after = (part for part in layout.partition(SLOT))
    shown = chat.placeholder * chat.count
    head = before.replace(chat.placeholder, shown) + _harmless(instruction, chat)
    body = _harmless(text, chat)
    return Rendered(head + body + after.replace(chat.placeholder, shown), len(head), len(head) + len(body))


def cut(
    ids: Ids, offsets: NDArray[np.int64], message: Rendered, most: int, side: Literal["right", "left"]
) -> Ids:
    """The ids of a message, (t,), at most ``most`` of them: its text loses tokens on a side, its layout none.

    ``offsets`` is (t, 2): the characters that each token stands for. Raises InputTooLong where the rest is
    longer than ``most`` already.
    """
    over = len(ids) - most
    if over <= 0:
        return ids
    start, stop = offsets[:, 0], offsets[:, 1]
    inside = np.flatnonzero((start >= message.start) & (stop <= message.stop) & (stop > start))
    if len(inside) < over:
        raise InputTooLong(
            f"a picture and its instruction take more tokens than the encoder reads, {most}",
            value=len(ids) - len(inside),
            next_step="Export it with a larger --max-tokens, or shorten the prompt.",
        )
    lost = inside[-over:] if side == "right" else inside[:over]
    return np.delete(ids, lost)


def _harmless(text: str, chat: Chat) -> str:
    return text.replace(chat.placeholder, f"{chat.placeholder[0]} {chat.placeholder[1:]}")
