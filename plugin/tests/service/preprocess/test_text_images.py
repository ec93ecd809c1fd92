"""Texts as rows of an encoder that reads images of them; its manifest alone is needed."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.engines.contract import KNOWN_INPUTS
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import QueryDocument, collate
from nestvec.service.preprocess.text_images import render_texts
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.errors import BodyInvalid, NotOffered
from nestvec_schemas.manifest import Manifest, Verification
from nestvec_schemas.preprocessing.text_rendering import Rendering, render_text, stack_lines
from nestvec_schemas.towers import Tower

HOW = Rendering(max_patches=8)
LONG = "long " * 40


@pytest.fixture
def encoder() -> LoadedEncoder:
    tower = Tower(
        inputs=("patches", "attention_mask"), output="o", pooling="mean", max_tokens=8, rendering=HOW
    )
    manifest = Manifest(
        name="pixel",
        source="s",
        towers={"text": tower},
        dim=4,
        dims=(4,),
        layers=(1,),
        normalised=False,
        prompts={},
        precision="fp32",
        verification=Verification(sentences=1, cosine_min=1, cosine_mean=1),
        files={},
        created_with={},
    )
    return LoadedEncoder(manifest, None)


def test_rows_of_a_batch_are_the_lines_patch_by_patch(encoder: LoadedEncoder) -> None:
    texts = ["a", "some words", "", LONG]
    rows = render_texts(encoder, HOW, texts, Truncation())
    batch = collate(rows)
    assert set(batch.arrays) <= KNOWN_INPUTS
    pixels, mask = stack_lines([render_text(text, HOW)[0] for text in texts], HOW)
    np.testing.assert_array_equal(batch.arrays["attention_mask"], mask)
    patches = batch.arrays["patches"]
    assert (patches.shape, patches.dtype) == ((4, 8, 16, 16, 3), np.uint8)
    lines = patches.transpose(0, 2, 1, 3, 4).reshape(pixels.shape)
    shown = np.repeat(mask, 16, axis=1)[:, None, :, None] == 1
    np.testing.assert_array_equal(np.where(shown, lines, 0), np.where(shown, pixels, 0))
    assert [row.length for row in rows] == list(mask.sum(axis=1))
    assert batch.tokens == mask.sum()


def test_only_a_text_that_is_cut_has_more_than_it_takes(encoder: LoadedEncoder) -> None:
    short, long, huge = render_texts(encoder, HOW, ["some words", LONG, " " * 10_000], Truncation())
    assert short.total == short.length
    assert long.total > long.length == 8
    assert huge.total > huge.length


def test_what_cannot_be_drawn_is_told(encoder: LoadedEncoder) -> None:
    for wrong in ([1, 2], QueryDocument("a", "b")):
        with pytest.raises(BodyInvalid, match="reads text as pixels"):
            render_texts(encoder, HOW, [wrong], Truncation())
    with pytest.raises(BodyInvalid, match="can only truncate its end"):
        render_texts(encoder, HOW, [LONG], Truncation(direction="left"))
    assert len(render_texts(encoder, HOW, ["a"], Truncation(direction="left"))) == 1
    with pytest.raises(NotOffered, match="has no tokens"):
        _ = encoder.required_tokenizer
