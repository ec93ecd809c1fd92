"""Inputs that the exported encoder and the checkpoint's own library both embed, and what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PIL import Image

from nestvec_exporters.probes.pairs import TextPair

ProbeValue = str | TextPair | Image.Image | tuple[Image.Image, ...] | tuple[Image.Image, str]
"""A text, a query with a document, an image, those of a sequence, or an image with a text (a message)."""

ProbeGroup = Literal["texts", "prompts", "lengths", "characters", "batches", "images", "pairs", "messages"]
"""What a probe is about: real inputs; the checkpoint's prompts; one token to the longest text; capitals,
accents, emoji, NUL, literal special tokens; a text beside others, padded."""


@dataclass(frozen=True)
class Probe:
    """One input to compare."""

    value: ProbeValue
    group: ProbeGroup = "texts"
    prompt: str | None = None
    """Name of the prompt before the text, of the manifest's; None for none."""


@dataclass(frozen=True)
class ProbeSet:
    """Probes that are embedded together."""

    probes: tuple[Probe, ...]

    batch: int = 1
    """How many inputs the reference embeds at once, with its own padding."""
