"""An encoder and an exit in one name, ``minilm@3``: for callers that send a model's name and no more.

Milvus's ``openai`` provider in Lite drops the query string, and its ``cohere`` provider has one address for
a whole cluster. An encoder's own name never has an ``@``.
"""

from __future__ import annotations

import re
from typing import Final

from nestvec_schemas.errors import ExitNotOffered

MARK: Final = "@"

_LAYER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


def named(encoder: str, exit: int | None) -> str:
    """The name of an encoder's exit; of the deepest, where ``exit`` is None, the encoder's own."""
    return encoder if exit is None else f"{encoder}{MARK}{exit}"


def parted(name: str) -> tuple[str, int | None]:
    """The encoder and the exit that ``named`` made a name of. Raises ExitNotOffered for ``minilm@x``."""
    encoder, mark, layer = name.partition(MARK)
    if not mark:
        return name, None
    if not _LAYER.fullmatch(layer):
        raise ExitNotOffered(
            f"what stands behind {MARK} in the encoder's name is no layer",
            value=name,
            next_step=f"Write ENCODER{MARK}LAYER, for example minilm{MARK}3, or the encoder's name alone.",
        )
    return encoder, int(layer)
