"""Measures how fast an encoder runs, before the first request needs to know it."""

from __future__ import annotations

import logging
from typing import Final

from nestvec.service.batching.runner import BatchRunner
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import EmbedInput, ModelInput, QueryDocument
from nestvec.service.preprocess.prepare import tokenize_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.towers import MAIN_PART

logger = logging.getLogger(__name__)

_WORDS: Final = "heat flow in shock waves over a flat plate "
_MAX_TOKENS: Final = 512


async def measure_speed(encoder: LoadedEncoder, runner: BatchRunner) -> None:
    """Run a batch of long texts through the main part of an encoder, if that reads texts as tokens.

    An engine that cannot run it is left for the first request to report.
    """
    try:
        probe = _long_input(encoder)
        if probe is not None:
            await runner.measure(probe)
    except NestvecError as error:
        logger.info("the speed of %s was not measured: %s", encoder.manifest.name, error)


def _long_input(encoder: LoadedEncoder) -> ModelInput | None:
    tower = encoder.manifest.tower_of_part(MAIN_PART)
    if encoder.tokenizer is None or encoder.chat is not None or tower.rendering is not None:
        return None
    if encoder.manifest.parts[MAIN_PART] != "text":
        return None
    words = _WORDS.split()
    text = " ".join(words[number % len(words)] for number in range(min(tower.max_tokens, _MAX_TOKENS)))
    value: EmbedInput = QueryDocument(_WORDS, text) if encoder.manifest.kind == "reranker" else text
    (probe,) = tokenize_inputs(encoder, [value], Truncation())
    return probe if isinstance(probe, ModelInput) else None
