"""Texts to rows of an encoder that reads them as pictures."""

from __future__ import annotations

from collections.abc import Sequence

from nestvec.service.encoders import Encoder
from nestvec.service.preprocess.inputs import Cut, Input
from nestvec.service.preprocess.rows import Row
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.preprocessing.text_rendering import Rendering, patches_of, patches_wanted, render


def draw(encoder: Encoder, how: Rendering, inputs: Sequence[Input], cut: Cut) -> list[Row]:
    """The row of each text. Raises BodyInvalid for ids and pairs, and for one to be cut on its left."""
    return [_row(encoder, how, one, cut) for one in inputs]


def _row(encoder: Encoder, how: Rendering, one: Input, cut: Cut) -> Row:
    if not isinstance(one, str):
        raise BodyInvalid(
            f"{encoder.manifest.name} reads text as pixels, and no token ids or pairs",
            next_step="Send the text.",
        )
    pixels, patches = render(one, how, encoder.font)
    whole = patches_wanted(one, how, encoder.font)
    if whole > patches and cut.direction == "left":
        raise BodyInvalid(
            f"{encoder.manifest.name} draws a text from its beginning, and cuts it at its end alone",
            value=cut.direction,
            next_step="Ask with the truncation direction right, or shorten the text.",
        )
    return Row(patches_of(pixels, how), patches, whole)
