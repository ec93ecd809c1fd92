"""Inputs to rows of their graph, for each tower in its own way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec.images import ImagePolicy, load_patches, load_pixels
from nestvec.service.batching.batch_queue import MAX_INTERACTIVE_TEXTS
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import Cut, EmbedInput, InstructedText, QueryDocument
from nestvec.service.preprocess.messages import Message, parse_message
from nestvec.service.preprocess.rows import ModelInput, text_input
from nestvec.service.preprocess.text_images import render_texts
from nestvec.service.preprocess.tokenizer import EncoderTokenizer, PairTokens, Tokens
from nestvec_schemas.errors import BodyInvalid, ManifestCorrupt, NestvecError, NotOffered
from nestvec_schemas.late_interaction import KEEP_INPUT, token_arrays
from nestvec_schemas.preprocessing.chat import ChatLayout, render_message
from nestvec_schemas.preprocessing.chat import truncate_message as cut_message
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.preprocessing.frames import FRAME_MASK, frame_indices, pad_frames, read_sequence
from nestvec_schemas.preprocessing.patches import PATCHES, Patching
from nestvec_schemas.towers import Modality, Tower

PreparedInputs = list[ModelInput | NestvecError]
"""A row an input, or why there is none."""

CREATION_CHECK_TEXT: Final = "check"
"""What Milvus embeds when a collection is made, to compare the dim: an encoder of pictures has to answer."""

_BLANK_PIXELS: Final = np.zeros((1, 1, 3), np.uint8)
"""Pixels of a message without a picture; its graph does not look at them."""

_CHARACTERS_PER_TOKEN: Final = 64
"""Characters of a message's text that are read for each token that may be kept."""

_MAX_INLINE_CHARACTERS = 4096
"""Characters that are tokenised at once: a thread's hand-over takes longer."""


async def prepare(
    encoder: LoadedEncoder, tower: Modality, inputs: Sequence[EmbedInput], cut: Cut, policy: ImagePolicy
) -> PreparedInputs:
    """The row of each input for one of the encoder's towers, or the error that keeps it from having one.

    ``policy`` says where pictures may come from. Raises BodyInvalid (ids the encoder does not know),
    NotOffered (inputs that it does not take).
    """
    if tower == "image":
        return await _prepare_images(encoder, inputs, policy)
    how = encoder.manifest.towers["text"].rendering
    if how is not None:
        return [*await asyncio.to_thread(render_texts, encoder, how, inputs, cut)]
    if encoder.chat is not None:
        return await _prepare_messages(encoder, encoder.chat, inputs, cut, policy)
    if len(inputs) <= MAX_INTERACTIVE_TEXTS and sum(map(len, inputs)) <= _MAX_INLINE_CHARACTERS:
        return tokenize_inputs(encoder, inputs, cut)
    return await asyncio.to_thread(tokenize_inputs, encoder, inputs, cut)


def tokenize_inputs(encoder: LoadedEncoder, inputs: Sequence[EmbedInput], cut: Cut) -> PreparedInputs:
    """The rows of texts, of ids that the client made, and of pairs, in their order."""
    tokeniser = encoder.tokeniser
    plain = [str(one) if isinstance(one, InstructedText) else one for one in inputs]
    texts = [one for one in plain if isinstance(one, str)]
    pairs = [one for one in plain if isinstance(one, QueryDocument)]
    # What marks a query or a document stands in front, and may not be cut away.
    side = "right" if encoder.manifest.kind == "multivector" else cut.direction
    encoded = iter(tokeniser.encode(texts, side))
    paired = iter(_encode_pairs(encoder, pairs, cut))
    rows: PreparedInputs = []
    for one in plain:
        if isinstance(one, QueryDocument):
            tokens = next(paired)
            rows.append(
                ModelInput(
                    {"input_ids": tokens.ids, "token_type_ids": tokens.types}, len(tokens.ids), tokens.whole
                )
            )
        elif isinstance(one, str):
            text = next(encoded)
            rows.append(_text_model_input(encoder.manifest.towers["text"], text))
        else:
            _check_ids(one, len(tokeniser))
            rows.append(
                _text_model_input(encoder.manifest.towers["text"], tokeniser.take(one, cut.direction))
            )
    return rows


def _text_model_input(tower: Tower, tokens: Tokens) -> ModelInput:
    """The row of a text's ids; of a tower that gives a vector a token, as a query or as a document."""
    if KEEP_INPUT not in tower.inputs:
        return text_input(tokens.ids, tokens.whole)
    arrays = token_arrays(tokens.ids, tower.interaction)
    length = len(arrays[KEEP_INPUT])
    # A query that is filled up was not cut: it has more tokens then than it came with.
    lost = max(0, len(tokens.ids) - length) + tokens.whole - len(tokens.ids)
    return ModelInput(arrays, length, length + lost)


def _encode_pairs(encoder: LoadedEncoder, pairs: Sequence[QueryDocument], cut: Cut) -> list[PairTokens]:
    if not pairs:
        return []
    if not isinstance(encoder.tokeniser, EncoderTokenizer):
        raise NotOffered(
            f"{encoder.manifest.name} does not read a query with a document", next_step="Send texts."
        )
    return encoder.tokeniser.encode_pairs([(one.query, one.document) for one in pairs], cut.direction)


async def _prepare_images(
    encoder: LoadedEncoder, inputs: Sequence[EmbedInput], policy: ImagePolicy
) -> PreparedInputs:
    tower = encoder.manifest.towers["image"]
    if tower.patching is not None:
        return await _prepare_native_images(encoder, inputs, tower.patching, policy)
    if tower.picture is None:
        raise _missing_preprocessing(encoder)
    if "text" not in encoder.manifest.towers and list(inputs) == [CREATION_CHECK_TEXT]:
        blank = np.zeros((tower.picture.height, tower.picture.width, 3), np.uint8)
        return [_image_input([blank] * tower.frames, tower)]
    asked = [_image_addresses(encoder, one, tower) for one in inputs]
    named = [some for some in asked if not isinstance(some, NestvecError)]
    addresses = list(dict.fromkeys(address for some in named for address in some))
    loaded = dict(zip(addresses, await load_pixels(addresses, policy, tower.picture), strict=True))
    return [
        some if isinstance(some, NestvecError) else _image_input([loaded[one] for one in some], tower)
        for some in asked
    ]


async def _prepare_native_images(
    encoder: LoadedEncoder, inputs: Sequence[EmbedInput], how: Patching, policy: ImagePolicy
) -> PreparedInputs:
    """The rows of pictures in their own shapes: each as long as it has patches."""
    tower = encoder.manifest.towers["image"]
    asked = [_image_addresses(encoder, one, tower) for one in inputs]
    addresses = list(dict.fromkeys(some[0] for some in asked if not isinstance(some, NestvecError)))
    loaded = dict(zip(addresses, await load_patches(addresses, policy, how), strict=True))
    return [
        _native_image_input(some if isinstance(some, NestvecError) else loaded[some[0]]) for some in asked
    ]


def _native_image_input(found: Arrays | NestvecError) -> ModelInput | NestvecError:
    return found if isinstance(found, NestvecError) else _patch_input(found)


def _patch_input(arrays: Arrays) -> ModelInput:
    count = len(arrays[PATCHES])
    return ModelInput(arrays, count, count)


def _image_input(
    found: Sequence[NDArray[np.uint8] | NestvecError], tower: Tower
) -> ModelInput | NestvecError:
    """The row of an input's frames; of a tower that reads one at a time, of its only one."""
    sound = [one for one in found if not isinstance(one, NestvecError)]
    if len(sound) < len(found):
        return next(one for one in found if isinstance(one, NestvecError))
    if FRAME_MASK in tower.inputs:
        levels, there = pad_frames(sound, tower.frames)
        return ModelInput({"pixels": levels, FRAME_MASK: there}, tower.max_tokens, tower.max_tokens)
    pixels = sound[0] if tower.frames == 1 else np.stack(sound)
    return ModelInput({"pixels": pixels}, tower.max_tokens, tower.max_tokens)


def _image_addresses(encoder: LoadedEncoder, one: EmbedInput, tower: Tower) -> list[str] | NestvecError:
    """The addresses of an input's pictures, or why it has none."""
    if not isinstance(one, str):
        return BodyInvalid(
            f"{encoder.manifest.name} takes pictures' addresses, not token ids or pairs",
            next_step="Send file:, https: or data: addresses.",
        )
    if tower.frames == 1:
        return [one]
    masked = FRAME_MASK in tower.inputs
    try:
        sequence = read_sequence(one) if one.lstrip().startswith("[") else [one]
        return [sequence[at] for at in frame_indices(len(sequence), tower.frames, masked=masked)]
    except NestvecError as error:
        return error


async def _prepare_messages(
    encoder: LoadedEncoder, chat: ChatLayout, inputs: Sequence[EmbedInput], cut: Cut, policy: ImagePolicy
) -> PreparedInputs:
    """The rows of messages: their pictures are fetched, and their texts written as the model wants them."""
    tower = encoder.manifest.towers["text"]
    if tower.picture is None or not isinstance(encoder.tokeniser, EncoderTokenizer):
        raise _missing_preprocessing(encoder)
    read = [_parse_input(encoder, chat, one) for one in inputs]
    addresses = list(dict.fromkeys(one.image for one in read if isinstance(one, Message) and one.image))
    loaded = dict(zip(addresses, await load_pixels(addresses, policy, tower.picture), strict=True))
    writing = partial(_render_messages, encoder.tokeniser, chat, read, loaded, cut)
    if len(inputs) <= MAX_INTERACTIVE_TEXTS and sum(map(len, inputs)) <= _MAX_INLINE_CHARACTERS:
        return writing()
    return await asyncio.to_thread(writing)


def _parse_input(
    encoder: LoadedEncoder, chat: ChatLayout, one: EmbedInput
) -> Message | ModelInput | NestvecError:
    """What an input says; the row of ids that the client made. Raises NotOffered, BodyInvalid."""
    if isinstance(one, QueryDocument):
        raise NotOffered(
            f"{encoder.manifest.name} does not read a query with a document", next_step="Send texts."
        )
    if isinstance(one, str | InstructedText):
        said = one if isinstance(one, InstructedText) else InstructedText(one, "")
        try:
            return parse_message(said.value, said.instruction)
        except NestvecError as error:
            return error
    _check_ids(one, len(encoder.tokeniser))
    if chat.token in one:
        raise BodyInvalid(
            "token ids hold a picture's place, and no picture",
            value=chat.token,
            next_step='Send {"image": "https://host/a.png", "text": "…"} instead.',
        )
    ids = encoder.tokeniser.take(one)
    return ModelInput({"input_ids": ids.ids, "pixels": _BLANK_PIXELS}, len(ids.ids), ids.whole)


def _render_messages(
    tokeniser: EncoderTokenizer,
    chat: ChatLayout,
    read: Sequence[Message | ModelInput | NestvecError],
    loaded: Mapping[str, NDArray[np.uint8] | NestvecError],
    cut: Cut,
) -> PreparedInputs:
    """The rows of messages whose pictures are there, cut on a side; the errors of the others."""
    near = _CHARACTERS_PER_TOKEN * tokeniser.max_tokens
    rows: PreparedInputs = []
    for one in read:
        if not isinstance(one, Message):
            rows.append(one)
            continue
        levels = loaded[one.image] if one.image else _BLANK_PIXELS
        if isinstance(levels, NestvecError):
            rows.append(levels)
            continue
        text = one.text[:near] if cut.direction == "right" else one.text[-near:]
        message = render_message(chat, text, pictured=one.image is not None, instruction=one.instruction)
        placed = tokeniser.place([message.text], special=chat.special)[0]
        try:
            ids = cut_message(placed.ids, placed.offsets, message, tokeniser.max_tokens, cut.direction)
        except NestvecError as error:
            rows.append(error)
            continue
        rows.append(ModelInput({"input_ids": ids, "pixels": levels}, len(ids), len(placed.ids)))
    return rows


def _check_ids(ids: Sequence[int], known: int) -> None:
    wrong = next((one for one in ids if not 0 <= one < known), None)
    if wrong is not None:
        raise BodyInvalid(
            "a token id is not one of the encoder's",
            value=wrong,
            next_step=f"Send ids from 0 to {known - 1}, or send the text.",
        )


def _missing_preprocessing(encoder: LoadedEncoder) -> ManifestCorrupt:
    return ManifestCorrupt(
        "the manifest does not say how a picture becomes pixels",
        value=encoder.manifest.name,
        next_step="Export the encoder again.",
    )
