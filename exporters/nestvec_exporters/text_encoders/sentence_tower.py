"""The tower of a text encoder that sentence-transformers runs: a transformer, pooling, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from torch import nn

from nestvec_exporters.checkpoints.prompts import leading_prompt
from nestvec_exporters.checkpoints.tokenizer import truncation_side
from nestvec_exporters.graph.pooling import PromptMask, pools_of
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower, TowerModel
from nestvec_exporters.graph.trace import HEAD_MODULES, PooledEncoder
from nestvec_exporters.probes.texts import probe_texts
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.text_encoders.sentence_model import SentenceModel, shown_of
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

PROMPTED_PROBES: Final = 12
"""Texts that are compared with each prompt before them."""


def head_of(source: SentenceModel) -> nn.Module:
    """What follows a checkpoint's pooling."""
    return nn.Sequential(*(HEAD_MODULES[type(module).__name__](module) for module in source.modules[2:]))


class SentenceEncoder(PooledEncoder):
    """A checkpoint as sentence-transformers runs it."""

    def __init__(self, source: SentenceModel, exits: Sequence[int] = ()) -> None:
        prompt_mask = shown_of(source)
        pools = pools_of(source.pooling, prompt_mask)
        super().__init__(source.transformer, pools, head_of(source), exits, prompt_mask)


class SentenceTower(TextTower):
    """A checkpoint that sentence-transformers runs; ``fused`` where int8's fusion knows its attention."""

    def __init__(self, source: SentenceModel, max_tokens: int | None, *, fused: bool = True) -> None:
        spec = omitting_prompts(sentence_spec(source, max_tokens), shown_of(source))
        super().__init__(spec, sources.tokenizer(source))
        self.source = source
        source.transformer.config.use_cache = False
        if fused:
            self.heads, self.hidden = source.heads, source.hidden

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """Transformer, pooling and head."""
        return SentenceEncoder(self.source, exits).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The checkpoint's own vectors, (n, dim) float32.

        One text at a time: padding can then have no part in them.
        """
        model = self.source.model
        model.max_seq_length = max_tokens
        if self.source.pools_prompts:
            vectors = model.encode(list(inputs), batch_size=1, prompt="", show_progress_bar=False)
            return np.asarray(vectors, np.float32)
        rows = []
        for text in inputs:
            prompt = leading_prompt(text, self.source.prompts)
            rest = text.removeprefix(prompt)
            rows.append(model.encode([rest], prompt=prompt, show_progress_bar=False))
        return np.asarray(np.concatenate(rows), np.float32)

    def probes(self) -> Sequence[str]:
        """Texts; where pooling leaves prompts out, some with each prompt as well."""
        prompts = () if self.source.pools_prompts else tuple(self.source.prompts.values())
        return prompted_probes(prompts)


def sentence_checkpoint(source: SentenceModel, tower: TowerModel) -> LoadedCheckpoint:
    """A checkpoint that sentence-transformers runs, as one tower."""
    return LoadedCheckpoint(
        kind="dense",
        dim=source.dim,
        normalised=source.normalised,
        towers={"text": tower},
        layers=source.layers or 1,
        prompts=source.prompts,
    )


def sentence_spec(source: SentenceModel, max_tokens: int | None, pooling: str | None = None) -> Tower:
    """What a manifest says of such a checkpoint's tower. Raises CheckpointUnsupported for too many tokens."""
    return Tower(
        inputs=INPUTS,
        output=OUTPUT,
        pooling=pooling or "+".join(source.pooling),
        max_tokens=sources.max_tokens(source, max_tokens),
        truncation_side=truncation_side(source.model.tokenizer),
    )


def omitting_prompts(spec: Tower, prompt_mask: PromptMask | None) -> Tower:
    """``spec`` of a graph that takes prompts out of pooling by ``prompt_mask``, if there is any."""
    return spec if prompt_mask is None else spec.model_copy(update={"omits_prompts": True})


def prompted_probes(prompts: Sequence[str]) -> tuple[str, ...]:
    """Real texts, then some of them with each prompt."""
    texts = probe_texts()
    return (*texts, *(f"{prompt}{text}" for prompt in prompts for text in texts[:PROMPTED_PROBES]))
