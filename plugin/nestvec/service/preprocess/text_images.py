"""Texts to rows of an encoder that reads them as pictures."""

from __future__ import annotations

from collections.abc import Sequence

from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import Cut, EmbedInput
from nestvec.service.preprocess.rows import ModelInput
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.preprocessing.text_rendering import Rendering, line_patches, patch_count, render_text


def render_texts(
    encoder: LoadedEncoder, rendering: Rendering, inputs: Sequence[EmbedInput], cut: Cut
) -> list[ModelInput]:
    """The row of each text. Raises BodyInvalid for ids and pairs, and for one to be cut on its left."""
    return [_render_text(encoder, rendering, text, cut) for text in inputs]


def _render_text(encoder: LoadedEncoder, rendering: Rendering, text: EmbedInput, cut: Cut) -> ModelInput:
    if not isinstance(text, str):
        raise BodyInvalid(
            f"{encoder.manifest.name} reads text as pixels, and no token ids or pairs",
            next_step="Send the text.",
        )
    pixels, patches = render_text(text, rendering, encoder.font)
    total = patch_count(text, rendering, encoder.font)
    if total > patches and cut.direction == "left":
        raise BodyInvalid(
            f"{encoder.manifest.name} draws a text from its beginning, and cuts it at its end alone",
            value=cut.direction,
            next_step="Ask with the truncation direction right, or shorten the text.",
        )
    return ModelInput(line_patches(pixels, rendering), patches, total)
