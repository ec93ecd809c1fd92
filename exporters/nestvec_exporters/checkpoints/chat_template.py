"""How a checkpoint writes a message: its chat template, or the layout that is asked for, as a Chat."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from nestvec_exporters.checkpoints.layout import read_json
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.chat import SLOT, Chat

_TEMPLATES: Final = ("chat_template.json", "processor_config.json")
_TEXT: Final = {"type": "text", "text": SLOT}


def chat_of(folder: Path, tokenizer: Any, config: Any, count: int, asked: str | None) -> Chat:
    """How messages are written, with ``count`` tokens a picture.

    ``asked`` is a layout with the picture's token and {text}; without it the chat template decides, and
    without that the picture stands before the text. Raises CheckpointUnsupported.
    """
    token = config.image_token_id
    mark = tokenizer.convert_ids_to_tokens(token)
    around = [getattr(config, f"vision_{end}_token_id", None) for end in ("start", "end")]
    start, end = ("" if one is None else tokenizer.convert_ids_to_tokens(one) for one in around)
    template = tokenizer.chat_template or _template(folder)
    if asked is None and template:
        pictured = _written(tokenizer, template, [{"type": "image"}, _TEXT])
        alone = _written(tokenizer, template, [_TEXT])
    else:
        pictured = f"{start}{mark}{end}{SLOT}" if asked is None else asked
        alone = re.sub(f"(?:{re.escape(start)})?{re.escape(mark)}(?:{re.escape(end)})?\\s*", "", pictured)
    begins = tokenizer.bos_token is not None and pictured.startswith(tokenizer.bos_token)
    try:
        return Chat(
            pictured=pictured, alone=alone, placeholder=mark, token=token, count=count, special=not begins
        )
    except ValidationError as error:
        raise _unsupported(str(error.errors()[0]["msg"])) from error


def _template(folder: Path) -> str | None:
    """The template beside a tokenizer that has none, where older checkpoints keep their processor's."""
    for name in _TEMPLATES:
        told = read_json(folder / name) if (folder / name).is_file() else None
        if isinstance(told, dict) and isinstance(told.get("chat_template"), str):
            return str(told["chat_template"])
    return None


def _written(tokenizer: Any, template: str, content: list[dict[str, str]]) -> str:
    try:
        found = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except Exception as error:  # whatever a template raises
        raise _unsupported(str(error).strip().partition("\n")[0] or type(error).__name__) from error
    return str(found)


def _unsupported(found: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        "the checkpoint's chat template does not write a picture and a text as one message",
        value=found,
        next_step="Give --layout: the picture's token and {text}, as the checkpoint was trained.",
    )
