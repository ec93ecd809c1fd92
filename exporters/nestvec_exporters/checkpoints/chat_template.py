"""How messages are written: by the checkpoint's chat template, or by a given layout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import read_json
from nestvec_exporters.checkpoints.untrusted.bounded_text import bounded_text
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.chat import TEXT_SLOT, ChatLayout

_TEMPLATE_FILES: Final = ("chat_template.json", "processor_config.json")
_LAST_POOLING: Final = "pooling_mode_lasttoken"
_TEXT_PART: Final = {"type": "text", "text": TEXT_SLOT}


@dataclass(frozen=True)
class MessageSettings:
    """What a checkpoint's messages have besides an image and a text."""

    generation_prompt: bool = True
    """Whether the template opens the model's answer."""

    instruction: str | None = None
    """The system's message before the user's."""

    def messages(self, content: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages with a user's content."""
        user = {"role": "user", "content": content}
        if self.instruction is None:
            return [user]
        return [{"role": "system", "content": [{"type": "text", "text": self.instruction}]}, user]


def message_settings(folder: Path) -> MessageSettings:
    """How sentence-transformers writes the messages of a checkpoint in its layout, by its files.

    Its default prompt is the system's message. Without that layout, the template opens the model's answer,
    as in VLM2Vec. Raises CheckpointUnsupported for modules that pool otherwise, and other prompts.
    """
    files = CheckpointFiles(folder)
    if not files.modules:
        return MessageSettings()
    pooling = files.json(f"{module_folder(folder, 'Pooling')}/config.json")
    modes = [name for name, chosen in pooling.items() if name.startswith("pooling_mode_") and chosen is True]
    last = pooling.get("pooling_mode", "lasttoken") == "lasttoken" and modes in ([], [_LAST_POOLING])
    if files.modules != ("Transformer", "Pooling", "Normalize") or not pooling or not last:
        raise CheckpointUnsupported(
            "a vision-language model is exported with its last token's vector, brought to length 1",
            value=", ".join((*files.modules, *modes, str(pooling.get("pooling_mode", "")))).strip(", "),
            next_step="Choose a checkpoint of Transformer, Pooling of the last token, and Normalize.",
        )
    settings = files.json("config_sentence_transformers.json")
    prompts = {name: text for name, text in (settings.get("prompts") or {}).items() if text}
    default = prompts.pop(str(settings.get("default_prompt_name")), None)
    if any(text != default for text in prompts.values()):
        raise CheckpointUnsupported(
            "the checkpoint's prompts are messages of the system, and only a default one can be exported",
            value=", ".join(prompts),
            next_step="Set default_prompt_name in config_sentence_transformers.json, and remove the others.",
        )
    options = files.json("sentence_bert_config.json").get("processing_kwargs", {}).get("chat_template", {})
    return MessageSettings(bool(options.get("add_generation_prompt", False)), default)


def module_folder(folder: Path, kind: str) -> str:
    """The folder of a sentence-transformers module, relative to the checkpoint's; empty if there is none."""
    rows = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    places = (str(row.get("path")) for row in rows if str(row.get("type")).rpartition(".")[2] == kind)
    return next(places, "")


def read_chat(
    folder: Path,
    tokenizer: Any,
    config: Any,
    count: int,
    layout: str | None,
) -> ChatLayout:
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
        settings = message_settings(folder)
        pictured = _render(tokenizer, template, settings, [{"type": "image"}, _TEXT_PART])
        alone = _render(tokenizer, template, settings, [_TEXT_PART])
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


def _render(tokenizer: Any, template: str, settings: MessageSettings, content: list[dict[str, Any]]) -> str:
    try:
        return bounded_text(
            lambda: str(
                tokenizer.apply_chat_template(
                    settings.messages(content),
                    chat_template=template,
                    tokenize=False,
                    add_generation_prompt=settings.generation_prompt,
                )
            )
        )
    except Exception as error:  # a template can raise anything
        raise _unsupported(str(error).strip().partition("\n")[0] or type(error).__name__) from error


def _unsupported(value: str) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        "the checkpoint's chat template does not write an image and a text as one message",
        value=value,
        next_step="Give --layout with the image token and {text}, as the checkpoint was trained.",
    )
