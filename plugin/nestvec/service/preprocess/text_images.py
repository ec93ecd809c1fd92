"""Texts to model inputs of an encoder that reads text as pixels."""

from __future__ import annotations

from collections.abc import Sequence

from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import EmbedInput, ModelInput
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.preprocessing.text_rendering import Rendering, line_patches, patch_count, render_text


def render_texts(
    encoder: LoadedEncoder, rendering: Rendering, inputs: Sequence[EmbedInput], truncation: Truncation
) -> list[ModelInput]:
    """The model input of each text.

    Raises BodyInvalid for token ids and pairs, and for a text that would be truncated on its left.
    """
    return [_render_text(encoder, rendering, value, truncation) for value in inputs]


def _render_text(
    encoder: LoadedEncoder, rendering: Rendering, value: EmbedInput, truncation: Truncation
) -> ModelInput:
    if not isinstance(value, str):
        raise BodyInvalid(
            f"{encoder.manifest.name} reads text as pixels and takes no token ids or pairs",
            next_step="Send the text.",
        )
    pixels, patches = render_text(value, rendering, encoder.font)
    total = patch_count(value, rendering, encoder.font)
    if total > patches and truncation.direction == "left":
        raise BodyInvalid(
            f"{encoder.manifest.name} renders a text from its beginning and can only truncate its end",
            value=truncation.direction,
            next_step="Set the truncation direction to right, or shorten the text.",
        )
    return ModelInput(line_patches(pixels, rendering), patches, total)
