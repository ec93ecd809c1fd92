"""Encoder, expert, exit and prompts in one name, ``minilm@biomed@3?prompt=clustering``: for callers that can
send only a name.

Milvus's ``openai`` provider in Lite drops the query string, and its ``cohere`` provider has one address for
a whole cluster. An encoder's own name never has an ``@`` or a ``?``; an expert's begins with a letter, an
exit's number with a digit.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, urlencode

from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ExitNotOffered, PromptNotOffered
from nestvec_schemas.manifest import EXPERT_NAME

SEPARATOR: Final = "@"

PROMPTS_SEPARATOR: Final = "?"

_PROMPTS: Final = ("prompt", "query_prompt")

_LAYER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


def format_model_name(config: EmbeddingConfig) -> str:
    """The name of the encoder with its expert, exit and prompts, where they are chosen."""
    parts = (config.encoder, config.expert, config.exit)
    name = SEPARATOR.join(str(part) for part in parts if part is not None)
    values = ((prompt, getattr(config, prompt)) for prompt in _PROMPTS)
    prompts = [(prompt, value) for prompt, value in values if value is not None]
    return f"{name}{PROMPTS_SEPARATOR}{urlencode(prompts)}" if prompts else name


def parse_model_name(name: str) -> EmbeddingConfig:
    """What ``format_model_name`` wrote.

    Raises ExitNotOffered for ``minilm@3@4`` or ``minilm@-``, PromptNotOffered for ``minilm?task=sts``.
    """
    path, _, query = name.partition(PROMPTS_SEPARATOR)
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
    if PROMPTS_SEPARATOR not in name:
        return config
    prompts = _prompts(name, query)
    return replace(config, prompt=prompts.get("prompt"), query_prompt=prompts.get("query_prompt"))


def encoder_of(name: str) -> str:
    """The encoder in a model name, whatever follows it."""
    return name.partition(PROMPTS_SEPARATOR)[0].partition(SEPARATOR)[0]


def _prompts(name: str, query: str) -> dict[str, str]:
    prompts = dict(parse_qsl(query, keep_blank_values=True))
    if not prompts or any(key not in _PROMPTS for key in prompts):
        raise PromptNotOffered(
            f"what follows {PROMPTS_SEPARATOR} in the encoder's name is not a prompt",
            value=name,
            next_step=f"Write ENCODER{PROMPTS_SEPARATOR}prompt=NAME, "
            f"or ENCODER{PROMPTS_SEPARATOR}prompt=NAME&query_prompt=NAME.",
        )
    return prompts
