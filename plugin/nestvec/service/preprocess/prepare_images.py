"""Images to model inputs: fetched, decoded, and resized as the encoder's tower takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec.images import Caller, ImagePolicy, load_patches, load_pixels
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import EmbedInput, ModelInput, PreparedInputs
from nestvec.service.request_context import current_context, deadline_exceeded
from nestvec_schemas.errors import BodyInvalid, ManifestCorrupt, NestvecError
from nestvec_schemas.preprocessing.frames import FRAME_MASK, frame_indices, pad_frames, read_sequence
from nestvec_schemas.preprocessing.patches import PATCHES, Patching
from nestvec_schemas.towers import Tower

CREATION_CHECK_TEXT: Final = "check"
"""The text that Milvus embeds when a collection is created, to compare the dim: an encoder of images has to
answer it too."""


async def prepare_images(
    encoder: LoadedEncoder, inputs: Sequence[EmbedInput], images: ImagePolicy
) -> PreparedInputs:
    """The model inputs of images, or of sequences of frames."""
    tower = encoder.manifest.towers["image"]
    if tower.patching is not None:
        return await _prepare_patches(encoder, inputs, tower.patching, images)
    if tower.image_transform is None:
        raise no_preprocessing(encoder)
    if "text" not in encoder.manifest.towers and list(inputs) == [CREATION_CHECK_TEXT]:
        blank = np.zeros((tower.image_transform.height, tower.image_transform.width, 3), np.uint8)
        return [_image_input([blank] * tower.frames, tower)]
    addresses = [_image_addresses(encoder, value, tower) for value in inputs]
    readable = [entry for entry in addresses if not isinstance(entry, NestvecError)]
    distinct = list(dict.fromkeys(address for entry in readable for address in entry))
    with image_caller() as caller:
        pixels = await load_pixels(distinct, images, tower.image_transform, caller=caller)
    loaded = dict(zip(distinct, pixels, strict=True))
    return [
        entry
        if isinstance(entry, NestvecError)
        else _image_input([loaded[address] for address in entry], tower)
        for entry in addresses
    ]


@contextmanager
def image_caller() -> Iterator[Caller]:
    """For whom the current request loads images. Raises DeadlineExceeded if its time ends in the block."""
    context = current_context()
    try:
        yield Caller(context.client, context.deadline)
    except TimeoutError as error:
        raise deadline_exceeded(context, "its images were fetched and decoded") from error


async def _prepare_patches(
    encoder: LoadedEncoder, inputs: Sequence[EmbedInput], patching: Patching, images: ImagePolicy
) -> PreparedInputs:
    """The model inputs of images in their own aspect ratio: each is as long as it has patches."""
    tower = encoder.manifest.towers["image"]
    addresses = [_image_addresses(encoder, value, tower) for value in inputs]
    distinct = list(dict.fromkeys(entry[0] for entry in addresses if not isinstance(entry, NestvecError)))
    with image_caller() as caller:
        patches = await load_patches(distinct, images, patching, caller=caller)
    loaded = dict(zip(distinct, patches, strict=True))
    prepared: PreparedInputs = []
    for entry in addresses:
        arrays = entry if isinstance(entry, NestvecError) else loaded[entry[0]]
        if isinstance(arrays, NestvecError):
            prepared.append(arrays)
        else:
            count = len(arrays[PATCHES])
            prepared.append(ModelInput(arrays, count, count))
    return prepared


def _image_input(
    frames: Sequence[NDArray[np.uint8] | NestvecError], tower: Tower
) -> ModelInput | NestvecError:
    """The model input of a sequence of frames, or of the only image for a tower that takes one."""
    readable = [frame for frame in frames if not isinstance(frame, NestvecError)]
    if len(readable) < len(frames):
        return next(frame for frame in frames if isinstance(frame, NestvecError))
    if FRAME_MASK in tower.inputs:
        levels, mask = pad_frames(readable, tower.frames)
        return ModelInput({"pixels": levels, FRAME_MASK: mask}, tower.max_tokens, tower.max_tokens)
    pixels = readable[0] if tower.frames == 1 else np.stack(readable)
    return ModelInput({"pixels": pixels}, tower.max_tokens, tower.max_tokens)


def _image_addresses(encoder: LoadedEncoder, value: EmbedInput, tower: Tower) -> list[str] | NestvecError:
    """The addresses of an input's images, or the error that says why it has none."""
    if not isinstance(value, str):
        return BodyInvalid(
            f"{encoder.manifest.name} takes the addresses of images, not token ids or pairs",
            next_step="Send file:, https: or data: addresses.",
        )
    if tower.frames == 1:
        return [value]
    masked = FRAME_MASK in tower.inputs
    try:
        sequence = read_sequence(value) if value.lstrip().startswith("[") else [value]
        return [sequence[frame] for frame in frame_indices(len(sequence), tower.frames, masked=masked)]
    except NestvecError as error:
        return error


def no_preprocessing(encoder: LoadedEncoder) -> ManifestCorrupt:
    """The error for a manifest that lacks what turns an image into pixels."""
    return ManifestCorrupt(
        "the manifest does not say how an image becomes pixels",
        value=encoder.manifest.name,
        next_step="Export the encoder again.",
    )
