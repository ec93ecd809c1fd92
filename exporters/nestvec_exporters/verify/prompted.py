"""Encode probes prompt by prompt, as libraries take them, and give the results in the probes' order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nestvec_exporters.probes.probe import Probe
from nestvec_schemas.preprocessing.collate import Array

EncodeValues = Callable[[list[Any], str | None], Iterable[Array]]
"""Values behind the prompt of a name, None for none, to one array each."""


def encode_by_prompt(probes: Sequence[Probe], encode: EncodeValues) -> list[Array]:
    """What ``encode`` gives for each probe, float32, in the probes' order."""
    arrays: dict[int, Array] = {}
    for name in dict.fromkeys(probe.prompt for probe in probes):
        places = [place for place, probe in enumerate(probes) if probe.prompt == name]
        encoded = encode([probes[place].value for place in places], name)
        arrays |= {place: np.asarray(array, np.float32) for place, array in zip(places, encoded, strict=True)}
    return [arrays[place] for place in range(len(probes))]


def prompt_arguments(
    name: str | None, own: Mapping[str, str], prompts: Mapping[str, str]
) -> dict[str, str | None]:
    """How sentence-transformers is given a prompt: by its name where it knows the same text under that name,
    else by the text; without a name, no prompt."""
    by_name = name is not None and own.get(name) == prompts.get(name)
    return {
        "prompt_name": name if by_name else None,
        "prompt": None if by_name else prompts.get(name or "", ""),
    }
