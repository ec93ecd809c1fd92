"""Encoder, expert and exit in one name, ``minilm@biomed@3``: for callers that can send only a name.

Milvus's ``openai`` provider in Lite drops the query string, and its ``cohere`` provider has one address for
a whole cluster. An encoder's own name never has an ``@``; an expert's begins with a letter, an exit's number
with a digit.
"""

from __future__ import annotations

import re
from typing import Final

from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ExitNotOffered
from nestvec_schemas.manifest import EXPERT_NAME

SEPARATOR: Final = "@"

_LAYER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


def format_model_name(config: EmbeddingConfig) -> str:
    """The name of the encoder with its expert and exit, where they are chosen."""
    parts = (config.encoder, config.expert, config.exit)
    return SEPARATOR.join(str(part) for part in parts if part is not None)


def parse_model_name(name: str) -> EmbeddingConfig:
    """What ``format_model_name`` wrote. Raises ExitNotOffered for ``minilm@3@4`` or ``minilm@-``."""
    encoder, *rest = name.split(SEPARATOR)
    expert = rest.pop(0) if rest and EXPERT_NAME.fullmatch(rest[0]) else None
    layer = rest.pop(0) if rest and _LAYER.fullmatch(rest[0]) else None
    if rest or (not encoder and SEPARATOR in name):
        raise ExitNotOffered(
            f"what follows {SEPARATOR} in the encoder's name is neither an expert nor a layer",
            value=name,
            next_step=f"Write ENCODER{SEPARATOR}EXPERT{SEPARATOR}LAYER, for example "
            f"minilm{SEPARATOR}biomed{SEPARATOR}3, and omit what is not chosen.",
        )
    return EmbeddingConfig(encoder, exit=None if layer is None else int(layer), expert=expert)
