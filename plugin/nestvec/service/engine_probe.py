"""Inputs to try an engine with: a few batches of every part of an encoder, made as requests make them."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from nestvec.engines.contract import Batch
from nestvec.images import ImagePolicy
from nestvec.service.encoders import LoadedEncoder, open_encoder
from nestvec.service.preprocess.inputs import EmbedInput, ModelInput, QueryDocument, collate
from nestvec.service.preprocess.prepare import prepare_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.late_interaction import Role
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.towers import EXIT_INPUT, MAIN_PART, Tower

_TEXTS: Final = (
    "heat",
    "How do I read rows from a file?",
    "The boundary layer on a flat plate becomes turbulent where the Reynolds number is large.",
    "Übergröße, naïve façade: 3.14 € — déjà vu?",
    "数据库如何存储向量",
    "def parse(line: str) -> list[int]: return [int(part) for part in line.split(',')]",
    "A vector database stores embeddings and finds the nearest ones to a query. An index makes that fast: "
    "a graph of neighbours is walked from a coarse layer to a fine one, and only a small part of all vectors "
    "is compared. Filters on other columns narrow the candidates, before the walk or during it. What is "
    "found is ranked again by a slower model that reads a query and a document together.",
)
_LONG_REPEATS: Final = 3
"""Of the last text, for a text of some 250 tokens."""
_QUERY: Final = "how does a vector index work"

_IMAGE_SIZE: Final = 96
_POLICY: Final = ImagePolicy(schemes=frozenset({"data"}))


def probe_batches(folder: Path, manifest: Manifest) -> dict[str, list[Batch]]:
    """Batches of an encoder by part, one for each exit of its graph and each bridge. Blocks, on any thread.

    Raises as ``open_encoder`` and ``prepare_inputs`` do.
    """
    encoder = replace(open_encoder(folder), manifest=manifest)
    # On a thread: the caller's may have an event loop that runs.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="nestvec-probe") as thread:
        return thread.submit(asyncio.run, _all_batches(encoder)).result()


async def _all_batches(encoder: LoadedEncoder) -> dict[str, list[Batch]]:
    return {part: await _batches(encoder, part) for part in encoder.manifest.parts}


async def _batches(encoder: LoadedEncoder, part: str) -> list[Batch]:
    manifest, modality = encoder.manifest, encoder.manifest.parts[part]
    tower = manifest.tower_of_part(part)
    groups: list[list[ModelInput]] = []
    for values, role in _values(encoder, part):
        prepared = await prepare_inputs(
            encoder, modality, values, Truncation(), _POLICY, part=part, role=role
        )
        inputs = [entry for entry in prepared if isinstance(entry, ModelInput)]
        # A single input too: it has other shapes, and other kernels.
        groups += [[entry] for entry in inputs] if tower.alone else [inputs, inputs[:1]]
    exits = manifest.layers if EXIT_INPUT in tower.inputs else (0,)
    if part == MAIN_PART and manifest.bridges is not None:
        exits += tuple(exit for bridge in manifest.bridges.maps.values() for exit in bridge.exits)
    return [collate(group, exit, part) for exit in exits for group in groups if group]


def _values(encoder: LoadedEncoder, part: str) -> list[tuple[Sequence[EmbedInput], Role | None]]:
    """Inputs of a part, with the side of a search that they are on."""
    manifest = encoder.manifest
    tower = manifest.tower_of_part(part)
    if manifest.parts[part] == "image":
        return [(_images(tower), None)]
    texts: list[EmbedInput] = [*_TEXTS, " ".join([_TEXTS[-1]] * _LONG_REPEATS)]
    if manifest.kind == "reranker":
        return [([QueryDocument(_QUERY, str(text)) for text in texts], None)]
    if encoder.chat is not None:
        image, text = _addresses()[0], _TEXTS[1]
        return [(texts[:3], None), ([*texts[:3], image, json.dumps({"image": image, "text": text})], None)]
    if encoder.distinguishes_roles:
        return [(texts, "document"), (texts[:3], "query")]
    return [(texts, None)]


def _images(tower: Tower) -> list[EmbedInput]:
    addresses = _addresses()
    if tower.frames == 1:
        return [*addresses]
    return [json.dumps((addresses * tower.frames)[start : start + tower.frames]) for start in range(2)]


def _addresses() -> list[str]:
    """Three images as data: URLs: a gradient, noise, and rectangles."""
    axis = np.linspace(0, 255, _IMAGE_SIZE, dtype=np.uint8)
    gradient = np.stack(np.broadcast_arrays(axis[:, None], axis[None, :], axis[::-1, None]), axis=-1)
    noise = np.random.default_rng(0).integers(0, 256, (_IMAGE_SIZE, _IMAGE_SIZE, 3), np.uint8)
    shapes = np.full((_IMAGE_SIZE, _IMAGE_SIZE, 3), 240, np.uint8)
    shapes[10:50, 20:80] = (200, 30, 40)
    shapes[40:90, 5:35] = (20, 60, 180)
    return [_address(pixels) for pixels in (gradient, noise, shapes)]


def _address(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
