"""What a client says its inputs are, texts or images, where an encoder takes both.

Otherwise a value that is an image's address is an image, and any other is a text: Milvus sends no more than
a VARCHAR column.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import EmbedInput, InstructedText, PlainText
from nestvec.service.preprocess.messages import parse_message
from nestvec_schemas.errors import BodyInvalid, NotOffered
from nestvec_schemas.towers import Modality


def check_modality(encoder: LoadedEncoder, modality: Modality | None) -> None:
    """Raise NotOffered for an encoder that takes no inputs of ``modality``."""
    name = encoder.manifest.name
    if modality == "text" and "text" not in encoder.manifest.towers:
        raise NotOffered(
            f"{name} takes images and no text",
            next_step="Send images, or name an encoder that takes texts.",
        )
    if modality == "image" and not encoder.reads_images:
        raise NotOffered(f"{name} takes no images", next_step="Send texts, or name an encoder that does.")


def as_modality(
    inputs: Sequence[EmbedInput], encoder: LoadedEncoder, modality: Modality | None
) -> list[EmbedInput]:
    """The inputs so that the encoder, which takes ``modality``, reads each as that; for None, as what it
    looks like.

    Raises BodyInvalid for an image that is no address.
    """
    if modality is None:
        return list(inputs)
    if modality == "text":
        return [_as_text(value, encoder) for value in inputs]
    for place, value in enumerate(inputs, 1):
        if not isinstance(value, str) or not _names_image(value, encoder):
            raise BodyInvalid(
                f"image {place} of {len(inputs)} is not the address of an image",
                value=f"a text of {len(value)} characters" if isinstance(value, str) else "token ids",
                next_step="Send data:image/png;base64,… or another address that the service can read.",
            )
    return list(inputs)


def _names_image(value: str, encoder: LoadedEncoder) -> bool:
    """Whether a value names an image, perhaps one that cannot be read."""
    if encoder.chat is None or not encoder.has_image(value):
        return encoder.has_image(value)
    message = encoder.without_prompt(value)
    try:
        text = message.value if isinstance(message, InstructedText) else value
        return parse_message(text).image is not None
    except BodyInvalid:  # of which its preparation says what is wrong
        return True


def _as_text(value: EmbedInput, encoder: LoadedEncoder) -> EmbedInput:
    if not isinstance(value, str) or not value or not encoder.has_image(value):
        return value
    if encoder.chat is not None:  # a message may hold a text of any kind
        return json.dumps({"text": value}, ensure_ascii=False)
    return PlainText(value)
