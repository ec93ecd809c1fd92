"""Encoder, expert and exit in one name, ``minilm@biomed@3``: for callers that send a name and no more.

Milvus's ``openai`` provider in Lite drops the query string, and its ``cohere`` provider has one address for
a whole cluster. An encoder's own name never has an ``@``; an expert's begins with a letter, an exit's number
with a digit.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from nestvec_schemas.errors import ExitNotOffered
from nestvec_schemas.manifest import EXPERT_NAME

MARK: Final = "@"

_LAYER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


class Named(NamedTuple):
    """What a name says; None is the deepest exit, and the encoder's own weights."""

    encoder: str
    exit: int | None = None
    expert: str | None = None


def named(encoder: str, exit: int | None, expert: str | None = None) -> str:
    """The name of an encoder's exit and expert; of the deepest and of none, the encoder's own."""
    return MARK.join(str(one) for one in (encoder, expert, exit) if one is not None)


def parted(name: str) -> Named:
    """What ``named`` made a name of. Raises ExitNotOffered for ``minilm@3@4`` or ``minilm@-``."""
    encoder, *rest = name.split(MARK)
    expert = rest.pop(0) if rest and EXPERT_NAME.fullmatch(rest[0]) else None
    layer = rest.pop(0) if rest and _LAYER.fullmatch(rest[0]) else None
    if rest:
        raise ExitNotOffered(
            f"what stands behind {MARK} in the encoder's name is no layer, and no expert before one",
            value=name,
            next_step=f"Write ENCODER{MARK}EXPERT{MARK}LAYER, for example minilm{MARK}biomed{MARK}3, or "
            "leave away what is not meant.",
        )
    return Named(encoder, None if layer is None else int(layer), expert)
