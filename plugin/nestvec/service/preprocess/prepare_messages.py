"""Messages of an image and a text to model inputs of a chat model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec.images import ImagePolicy, load_pixels
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import (
    EmbedInput,
    InstructedText,
    ModelInput,
    PreparedInputs,
    QueryDocument,
    check_ids,
)
from nestvec.service.preprocess.messages import Message, parse_message
from nestvec.service.preprocess.prepare_images import image_caller, no_preprocessing
from nestvec.service.preprocess.tokenizer import Direction, EncoderTokenizer
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.errors import BodyInvalid, NestvecError, NotOffered
from nestvec_schemas.preprocessing.chat import ChatLayout, render_message, truncate_message

_BLANK_PIXELS: Final = np.zeros((1, 1, 3), np.uint8)
"""Pixels of a message without an image; its graph ignores them."""

_CHARACTERS_PER_TOKEN: Final = 64
"""Characters of a message's text that are read for each token that may be kept."""


async def prepare_messages(
    encoder: LoadedEncoder,
    chat: ChatLayout,
    inputs: Sequence[EmbedInput],
    truncation: Truncation,
    images: ImagePolicy,
) -> Callable[[], PreparedInputs]:
    """Fetch the messages' images; the function that is returned writes their texts in the model's layout."""
    tower, tokenizer = encoder.manifest.towers["text"], encoder.required_tokenizer
    if tower.image_transform is None or not isinstance(tokenizer, EncoderTokenizer):
        raise no_preprocessing(encoder)
    side = truncation.side(tower)
    messages = [_parse_input(encoder, chat, value, side) for value in inputs]
    addresses = list(
        dict.fromkeys(message.image for message in messages if isinstance(message, Message) and message.image)
    )
    with image_caller() as caller:
        loaded = await load_pixels(addresses, images, tower.image_transform, caller=caller)
    pixels = dict(zip(addresses, loaded, strict=True))
    return partial(_render_messages, tokenizer, chat, messages, pixels, side)


def _parse_input(
    encoder: LoadedEncoder, chat: ChatLayout, value: EmbedInput, side: Direction
) -> Message | ModelInput | NestvecError:
    """The message that an input is, or the model input of token ids. Raises NotOffered, BodyInvalid."""
    if isinstance(value, QueryDocument):
        raise NotOffered(
            f"{encoder.manifest.name} does not take pairs of a query and a document", next_step="Send texts."
        )
    if isinstance(value, str | InstructedText):
        text = value if isinstance(value, InstructedText) else InstructedText(value, "")
        try:
            return parse_message(text.value, text.instruction)
        except NestvecError as error:
            return error
    check_ids(value, len(encoder.required_tokenizer))
    if chat.token in value:
        raise BodyInvalid(
            "the token ids contain an image's placeholder but no image",
            value=chat.token,
            next_step='Send {"image": "https://host/a.png", "text": "…"} instead.',
        )
    tokens = encoder.required_tokenizer.truncate(value, side)
    return ModelInput({"input_ids": tokens.ids, "pixels": _BLANK_PIXELS}, len(tokens.ids), tokens.total)


def _render_messages(
    tokenizer: EncoderTokenizer,
    chat: ChatLayout,
    messages: Sequence[Message | ModelInput | NestvecError],
    pixels: Mapping[str, NDArray[np.uint8] | NestvecError],
    side: Direction,
) -> PreparedInputs:
    """The model inputs of the messages whose images could be read, and the errors of the others."""
    prepared: PreparedInputs = []
    for message in messages:
        if not isinstance(message, Message):
            prepared.append(message)
            continue
        levels = pixels[message.image] if message.image else _BLANK_PIXELS
        if isinstance(levels, NestvecError):
            prepared.append(levels)
            continue
        try:
            prepared.append(_render_message(tokenizer, chat, message, levels, side))
        except NestvecError as error:
            prepared.append(error)
    return prepared


def _render_message(
    tokenizer: EncoderTokenizer,
    chat: ChatLayout,
    message: Message,
    pixels: NDArray[np.uint8],
    side: Direction,
) -> ModelInput:
    max_characters = _CHARACTERS_PER_TOKEN * tokenizer.max_tokens
    text = message.text[:max_characters] if side == "right" else message.text[-max_characters:]
    rendered = render_message(chat, text, pictured=message.image is not None, instruction=message.instruction)
    encoded = tokenizer.encode_with_offsets([rendered.text], special=chat.special)[0]
    ids = truncate_message(encoded.ids, encoded.offsets, rendered, tokenizer.max_tokens, side)
    # Characters that are not read are truncated, however few tokens the rest holds.
    lower_bound = tokenizer.max_tokens + 1 if len(text) < len(message.text) else 0
    return ModelInput({"input_ids": ids, "pixels": pixels}, len(ids), max(len(encoded.ids), lower_bound))
