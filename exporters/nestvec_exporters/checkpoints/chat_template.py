"""How messages are written: by the checkpoint's chat template, or by a given layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from nestvec_exporters.checkpoints.layout import read_json
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.chat import TEXT_SLOT, ChatLayout

_TEMPLATE_FILES: Final = ("chat_template.json", "processor_config.json")
_TEXT_PART: Final = {"type": "text", "text": TEXT_SLOT}


def read_chat(folder: Path, tokenizer: Any, config: Any, count: int, layout: str | None) -> ChatLayout:
    """How messages are written, with ``count`` tokens per image.

    ``layout`` has the image token and {text} in it. Without it the chat template decides, and without that
    the image precedes the text. Raises CheckpointUnsupported.
    """
    token = config.image_token_id
    image_token = tokenizer.convert_ids_to_tokens(token)
    marker_ids = [getattr(config, f"vision_{end}_token_id", None) for end in ("start", "end")]
    start, end = (
        "" if marker_id is None else tokenizer.convert_ids_to_tokens(marker_id) for marker_id in marker_ids
    )
    template = tokenizer.chat_template or _template(folder)
    if layout is None and template:
        pictured = _render(tokenizer, template, [{"type": "image"}, _TEXT_PART])
        alone = _render(tokenizer, template, [_TEXT_PART])
    else:
        pictured = f"{start}{image_token}{end}{TEXT_SLOT}" if layout is None else layout
        alone = re.sub(
            f"(?:{re.escape(start)})?{re.escape(image_token)}(?:{re.escape(end)})?\\s*", "", pictured
        )
    begins = tokenizer.bos_token is not None and pictured.startswith(tokenizer.bos_token)
    try:
        return ChatLayout(
            pictured=pictured,
            alone=alone,
            placeholder=image_token,
            token=token,
            count=count,
            special=not begins,
        )
    except ValidationError as error:
        raise _unsupported(str(error.errors()[0]["msg"])) from error


def _template(folder: Path) -> str | None:
    """The processor's template, which older checkpoints store in a file of its own."""
    for name in _TEMPLATE_FILES:
        settings = read_json(folder / name) if (folder / name).is_file() else None
        if isinstance(settings, dict) and isinstance(settings.get("chat_template"), str):
            return str(settings["chat_template"])
    return None


def _render(tokenizer: Any, template: str, content: list[dict[str, str]]) -> str:
    try:
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except Exception as error:  # a template can raise anything
        raise _unsupported(str(error).strip().partition("\n")[0] or type(error).__name__) from error
    return str(rendered)


def _unsupported(value: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        "the checkpoint's chat template does not write an image and a text as one message",
        value=value,
        next_step="Give --layout with the image token and {text}, as the checkpoint was trained.",
    )
