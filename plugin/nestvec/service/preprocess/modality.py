"""What a client says its inputs are, texts or images, where an encoder takes both.

Otherwise a value that is an image's address is an image, and any other is a text: Milvus sends no more than
a VARCHAR column.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import EmbedInput, InputPart, InstructedText, PlainText
from nestvec.service.preprocess.messages import parse_message
from nestvec_schemas.errors import BodyInvalid, EmptyInput, NotOffered
from nestvec_schemas.towers import Modality

Modalities = Modality | Sequence[Modality | None] | None
"""What all inputs are, or each of them; None for what an input looks like."""


def check_modality(encoder: LoadedEncoder, modality: Modalities) -> None:
    """Raise NotOffered for an encoder that takes no inputs of ``modality``."""
    name = encoder.manifest.name
    modalities = {modality} if modality is None or isinstance(modality, str) else set(modality)
    if "text" in modalities and "text" not in encoder.manifest.towers:
        raise NotOffered(
            f"{name} takes images and no text",
            next_step="Send images, or name an encoder that takes texts.",
        )
    if "image" in modalities and not encoder.reads_images:
        raise NotOffered(f"{name} takes no images", next_step="Send texts, or name an encoder that does.")


def as_modality(
    inputs: Sequence[EmbedInput], encoder: LoadedEncoder, modality: Modalities
) -> list[EmbedInput]:
    """The inputs so that the encoder, which takes ``modality``, reads each as that; for None, as what it
    looks like.

    Raises BodyInvalid for an image that is no address.
    """
    if modality is None:
        return list(inputs)
    modalities = [modality] * len(inputs) if isinstance(modality, str) else modality
    values: list[EmbedInput] = []
    for place, (value, kind) in enumerate(zip(inputs, modalities, strict=True), 1):
        if kind == "image" and not (isinstance(value, str) and _names_image(value, encoder)):
            raise BodyInvalid(
                f"image {place} of {len(inputs)} is not the address of an image",
                value=f"a text of {len(value)} characters" if isinstance(value, str) else "token ids",
                next_step="Send data:image/png;base64,… or another address that the service can read.",
            )
        values.append(_as_text(value, encoder) if kind == "text" else value)
    return values


def join_parts(parts: Sequence[InputPart], encoder: LoadedEncoder) -> tuple[str, Modality | None]:
    """The value of an input that has parts, and what it is: a message for a chat model if it has both.

    Raises EmptyInput without a part, NotOffered for several parts and an encoder without messages,
    BodyInvalid for more than a text and an image.
    """
    if not parts:
        raise EmptyInput("an input has no content", next_step="Send a text or an image.")
    if len(parts) == 1:
        return parts[0].value, parts[0].modality
    by_modality = {part.modality: part.value for part in parts}
    if encoder.chat is None:
        raise NotOffered(
            f"{encoder.manifest.name} takes a text or an image as one input, not both",
            value=f"an input of {len(parts)} parts",
            next_step="Send each in an input of its own, or name a vision-language model.",
        )
    if len(by_modality) < len(parts):
        raise BodyInvalid(
            "an input has more than a text and an image",
            value=f"{len(parts)} parts",
            next_step="Send one of each in an input.",
        )
    return json.dumps(by_modality, ensure_ascii=False), None


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
