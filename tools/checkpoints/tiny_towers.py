"""Towers of encoders without weights: what tests around the engine put into a manifest."""

from __future__ import annotations

from nestvec_schemas.preprocessing.pixels import ImageTransform
from nestvec_schemas.towers import Tower

TEXT = Tower(
    inputs=("input_ids", "attention_mask"), output="sentence_embedding", pooling="mean", max_tokens=8
)
IMAGE = Tower(
    inputs=("pixels",),
    output="sentence_embedding",
    pooling="cls",
    max_tokens=4,
    image_transform=ImageTransform(height=8, width=8, resize="exact"),
)
