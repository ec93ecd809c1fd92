"""Encoder, expert, exit and prompts in one name, ``minilm@biomed@3?prompt=clustering``: for callers that can
send only a name. The encoder may have a tag: ``minilm:2@biomed@3``.

Milvus's ``openai`` provider in Lite drops the query string, and its ``cohere`` provider has one address for
a whole cluster, and before Milvus 2.6.9 sends no dim either: ``minilm?dim=64`` has it. The fingerprint of the
encoder that a field was registered with is in the name too: ``minilm?fingerprint=0123456789abcdef``. An
encoder's own name never has an ``@`` or a ``?``; an expert's begins with a letter, an exit's number with a
digit.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, urlencode

from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import DimNotOffered, ExitNotOffered, PromptNotOffered
from nestvec_schemas.manifest import EXPERT_NAME

SEPARATOR: Final = "@"

PARAMETERS_SEPARATOR: Final = "?"

_PROMPTS: Final = ("prompt", "query_prompt")
_FINGERPRINT: Final = "fingerprint"
_PARAMETERS: Final = ("dim", *_PROMPTS, _FINGERPRINT)
_DIM = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)

_LAYER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


def format_model_name(
    config: EmbeddingConfig, *, with_dim: bool = False, with_fingerprint: bool = False
) -> str:
    """The name of the encoder with its expert, exit and prompts, where they are chosen; with the dim and the
    fingerprint, where they are known, if the caller wants them."""
    parts = (config.encoder, config.expert, config.exit)
    name = SEPARATOR.join(str(part) for part in parts if part is not None)
    omitted = {"dim": not with_dim, _FINGERPRINT: not with_fingerprint}
    values = ((key, getattr(config, key)) for key in _PARAMETERS if not omitted.get(key))
    parameters = [(key, value) for key, value in values if value is not None]
    return f"{name}{PARAMETERS_SEPARATOR}{urlencode(parameters)}" if parameters else name


def parse_model_name(name: str) -> EmbeddingConfig:
    """What ``format_model_name`` wrote.

    Raises ExitNotOffered for ``minilm@3@4`` or ``minilm@-``, PromptNotOffered for ``minilm?task=sts``,
    DimNotOffered for ``minilm?dim=x``.
    """
    path, _, query = name.partition(PARAMETERS_SEPARATOR)
    encoder, *rest = path.split(SEPARATOR)
    expert = rest.pop(0) if rest and EXPERT_NAME.fullmatch(rest[0]) else None
    layer = rest.pop(0) if rest and _LAYER.fullmatch(rest[0]) else None
    if rest or (not encoder and path):
        raise ExitNotOffered(
            f"what follows {SEPARATOR} in the encoder's name is neither an expert nor a layer",
            value=name,
            next_step=f"Write ENCODER{SEPARATOR}EXPERT{SEPARATOR}LAYER, for example "
            f"minilm{SEPARATOR}biomed{SEPARATOR}3, and omit what is not chosen.",
        )
    config = EmbeddingConfig(encoder, exit=None if layer is None else int(layer), expert=expert)
    if PARAMETERS_SEPARATOR not in name:
        return config
    values = _parameters(name, query)
    return replace(
        config,
        dim=_dim(name, values["dim"]) if "dim" in values else None,
        prompt=values.get("prompt"),
        query_prompt=values.get("query_prompt"),
        fingerprint=values.get(_FINGERPRINT),
    )


def encoder_of(name: str) -> str:
    """The encoder in a model name, whatever follows it."""
    return name.partition(PARAMETERS_SEPARATOR)[0].partition(SEPARATOR)[0]


def fingerprint_of(name: str) -> str | None:
    """The fingerprint in a model name, which may be malformed otherwise; None if it has none."""
    _, _, query = name.partition(PARAMETERS_SEPARATOR)
    return dict(parse_qsl(query)).get(_FINGERPRINT)


def _parameters(name: str, query: str) -> dict[str, str]:
    values = dict(parse_qsl(query, keep_blank_values=True))
    if not values or any(key not in _PARAMETERS for key in values):
        raise PromptNotOffered(
            f"what follows {PARAMETERS_SEPARATOR} in the encoder's name is not a prompt, dim or fingerprint",
            value=name,
            next_step=f"Write ENCODER{PARAMETERS_SEPARATOR}prompt=NAME, "
            f"ENCODER{PARAMETERS_SEPARATOR}prompt=NAME&query_prompt=NAME, or "
            f"ENCODER{PARAMETERS_SEPARATOR}dim=DIM.",
        )
    return values


def _dim(name: str, text: str) -> int:
    if not _DIM.fullmatch(text):
        raise DimNotOffered(
            "the dim in the encoder's name is not a number",
            value=name,
            next_step=f"Write ENCODER{PARAMETERS_SEPARATOR}dim=DIM, for example "
            f"minilm{PARAMETERS_SEPARATOR}dim=64.",
        )
    return int(text)
