"""Vectors of a sample by an exported encoder, as the service would give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from nestvec.datasets.captions import open_image
from nestvec.service.verification import open_served
from nestvec_exporters.bridge.install import map_inputs_encoder
from nestvec_exporters.space_maps.mapping import TokenTable
from nestvec_schemas.bridges.bridge import served_name
from nestvec_schemas.repository import read_manifest
from nestvec_schemas.vectors import Vectors, normalise

if TYPE_CHECKING:
    from nestvec.service.verification import InProcessEncoder

_TEXTS_PER_REQUEST: Final = 256
_IMAGES_PER_REQUEST: Final = 32


@dataclass(frozen=True)
class PromptedText:
    """A text on one side of a search."""

    value: str | tuple[int, ...]
    """Or the ids of its tokens, special ones included, which stay without a prompt."""

    prompt: str
    """``query`` or ``document``."""


@dataclass(frozen=True)
class _ImageProbe:
    value: Image.Image
    prompt: str | None = None


def embed_texts(
    folder: Path,
    texts: Sequence[PromptedText],
    *,
    name: str | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Vectors:
    """Unit vectors of texts, (n, d) float32, by the encoder in ``folder``, each behind its prompt.

    ``name`` is a bridge of the encoder, as it is served. Overlong texts are truncated. Raises
    EncoderNotFound, ManifestCorrupt, EngineError.
    """
    # Texts of like length together, the longest first, so that what does not fit in memory shows at once.
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place].value))
    rows: dict[int, Vectors] = {}
    with open_served(folder, name) as encoder:
        for start in range(0, len(order), _TEXTS_PER_REQUEST):
            places = order[start : start + _TEXTS_PER_REQUEST]
            rows.update(zip(places, _embed(encoder, [texts[place] for place in places]), strict=True))
            on_step(len(rows), len(order))
    return normalise(np.stack([rows[place] for place in range(len(texts))]))


def embed_map_inputs(
    folder: Path,
    bridge: str,
    tokens: TokenTable,
    texts: Sequence[PromptedText],
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Vectors, Vectors]:
    """What maps of the encoder in ``folder`` may read of texts: ``embed_texts``, and their sums of tokens,
    (n, e) float32 of length 1.

    ``bridge`` is the name of the bridge that is fitted. Raises what ``embed_texts`` raises, and
    CheckpointError if nothing can be written beside the model repository.
    """
    manifest = read_manifest(folder)
    with map_inputs_encoder(folder, bridge, tokens) as copy:
        served = served_name(manifest.name, bridge)
        inputs = embed_texts(copy, texts, name=served, on_step=on_step)
    return normalise(inputs[:, : manifest.dim]), normalise(inputs[:, manifest.dim :])


def read_tokens(folder: Path, texts: Sequence[PromptedText]) -> list[list[int]]:
    """The ids of each text's tokens, as the graph of the encoder in ``folder`` receives them."""
    rows: list[list[int]] = []
    with open_served(folder) as encoder:
        for start in range(0, len(texts), _TEXTS_PER_REQUEST):
            rows += encoder.token_ids(texts[start : start + _TEXTS_PER_REQUEST])
    return rows


def embed_images(
    folder: Path, paths: Sequence[Path], on_step: Callable[[int, int], None] = lambda done, total: None
) -> Vectors:
    """Unit vectors of images, (n, d) float32, by the encoder in ``folder``.

    Raises ImageUnreadable, EncoderNotFound, ManifestCorrupt, EngineError.
    """
    vectors: list[Vectors] = []
    with open_served(folder) as encoder:
        for start in range(0, len(paths), _IMAGES_PER_REQUEST):
            batch = paths[start : start + _IMAGES_PER_REQUEST]
            vectors += encoder.embed([_ImageProbe(open_image(path)) for path in batch])
            on_step(len(vectors), len(paths))
    return normalise(np.stack(vectors))


def _embed(encoder: InProcessEncoder, texts: Sequence[PromptedText]) -> list[Vectors]:
    return encoder.embed(texts)
