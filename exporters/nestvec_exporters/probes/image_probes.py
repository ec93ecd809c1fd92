"""Images that break a decoder, a crop or a batch, beside generated ones; and messages with them."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.probes.text_probes import ODD_TEXTS
from nestvec_exporters.probes.texts import probe_texts

_QUICK = 8
"""Images of a quick verification."""

_ORIENTATION = 0x0112
"""EXIF's tag of how an image was held."""

_TURNED = 6
"""A quarter turn clockwise brings the image upright."""


@cache
def odd_images() -> tuple[Image.Image, ...]:
    """Grayscale, palettes, transparency of all kinds, a camera's rotation, extreme shapes, two colours."""
    base = probe_images()
    first, second = base[2], base[9]
    gradient = Image.linear_gradient("L").resize(first.size)
    transparent = first.copy()
    transparent.putalpha(gradient)
    faded = second.convert("L")
    faded.putalpha(Image.linear_gradient("L").rotate(90).resize(second.size))
    palette = second.quantize(32)
    holes = first.quantize(16)
    holes.info["transparency"] = 3
    turned = base[4].copy()
    turned.getexif()[_ORIENTATION] = _TURNED
    wide = base[8].resize((640, 20), Image.Resampling.BICUBIC)
    return (
        first.convert("L"),
        palette,
        holes,
        transparent,
        faded,
        first.convert("1"),
        turned,
        wide,
        wide.transpose(Image.Transpose.ROTATE_90),
        base[1].resize((3, 2), Image.Resampling.BICUBIC),
        Image.fromarray(np.full((48, 48, 3), 255, np.uint8)),
        Image.fromarray(np.zeros((48, 48, 3), np.uint8)),
    )


def image_probe_sets(frames: int, *, full: bool) -> tuple[ProbeSet, ...]:
    """Images alone and in batches; of a tower of several frames, sequences of them."""
    images = probe_images()
    if frames > 1:
        sequences = [
            tuple(images[(at + step) % len(images)] for step in range(frames)) for at in range(len(images))
        ]
        return (ProbeSet(tuple(Probe(item, "images") for item in sequences[: None if full else _QUICK])),)
    if not full:
        return (ProbeSet(tuple(Probe(image, "images") for image in images[:: len(images) // _QUICK])),)
    return (
        ProbeSet(tuple(Probe(image, "images") for image in (*images, *odd_images()))),
        ProbeSet(tuple(Probe(image, "batches") for image in images), len(images)),
    )


def message_probe_sets(prompts: tuple[str, ...], *, full: bool) -> tuple[ProbeSet, ...]:
    """Messages: texts, images, both, behind each prompt, of odd characters, and mixed in a batch."""
    texts = [" ".join(text.split()[:12]) for text in probe_texts()[:16]]
    images = probe_images()[: 8 if full else 2]
    chosen = texts if full else texts[:4]
    alone = [Probe(text, "texts") for text in chosen]
    pictured = [Probe((image, ""), "images") for image in images]
    captioned = [Probe((image, text), "messages") for image, text in zip(images, texts, strict=False)]
    prompted = [
        Probe(value, "prompts", name)
        for name in prompts
        for value in (texts[0], texts[5], (images[0], texts[1]), (images[1], ""))
    ]
    if not full:
        return (ProbeSet((*alone, *pictured, *captioned, *prompted)),)
    odd = [Probe(text, "characters") for text in ODD_TEXTS]
    modes = [Probe((image, texts[2]), "images") for image in odd_images()]
    mixed = [Probe(probe.value, "batches") for probe in (*alone[:6], *pictured[:4], *captioned[:6])]
    return (
        ProbeSet((*alone, *pictured, *captioned, *prompted, *odd, *modes)),
        ProbeSet(tuple(mixed), len(mixed)),
    )
