"""Text encoders as sentence-transformers runs them: a transformer, pooling, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from nestvec_exporters.architectures import sentence_transformer as sources
from nestvec_exporters.architectures.sentence_transformer import Source, shown_of
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.prompts import begun
from nestvec_exporters.graph.pooling import pools_of
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.trace import HEAD, Pooled
from nestvec_exporters.graph.triton import INPUTS, OUTPUT
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import probe_texts, text_rows
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

PROMPTED: Final = 12
"""Texts that are compared with each prompt before them."""


def head_of(source: Source) -> nn.Module:
    """What follows a checkpoint's pooling."""
    return nn.Sequential(*(HEAD[type(module).__name__](module) for module in source.modules[2:]))


class Encoder(Pooled):
    """A checkpoint as sentence-transformers runs it."""

    def __init__(self, source: Source, exits: Sequence[int] = ()) -> None:
        shown = shown_of(source)
        pools = pools_of(source.pooling, shown)
        super().__init__(source.transformer, pools, head_of(source), exits, shown)


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    if options.overrides.bidirectional:
        raise CheckpointUnsupported(
            "the checkpoint is no decoder whose causal mask nestvec knows how to lift",
            value="--bidirectional",
            next_step="Leave it away: an encoder's attention has no causal mask.",
        )
    return described(sources.overridden(sources.load(checkpoint), options.overrides), options)


def described(source: Source, options: ExportOptions) -> Loaded:
    """A loaded checkpoint as one tower."""
    tokens = sources.max_tokens(source, options.max_tokens)
    ids = torch.ones((2, 16), dtype=torch.int64)
    source.transformer.config.use_cache = False
    half = Half(
        tower=Tower(inputs=INPUTS, output=OUTPUT, pooling="+".join(source.pooling), max_tokens=tokens),
        build=partial(Encoder, source),
        example=dict.fromkeys(INPUTS, ids),
        axes={name: {1: "tokens"} for name in INPUTS},
        rows=text_rows,
        reference=partial(_reference, source),
        probes=partial(_probes, source),
        save=partial(_save, source),
        heads=source.heads,
        hidden=source.hidden,
    )
    return Loaded(
        kind="dense",
        dim=source.dim,
        normalised=source.normalised,
        halves={"text": half},
        layers=source.layers or 1,
        prompts=source.prompts,
    )


def _probes(source: Source) -> Sequence[str]:
    """Texts; where pooling leaves prompts out, some with each prompt as well."""
    left_out = () if source.pools_prompts else source.prompts.values()
    return (
        *probe_texts(),
        *(f"{prompt}{text}" for prompt in left_out for text in probe_texts()[:PROMPTED]),
    )


def _save(source: Source, folder: Path) -> None:
    sources.tokenizer(source).save(str(folder / TOKENIZER))


def _reference(source: Source, texts: Sequence[str], tokens: int) -> Vectors:
    """The checkpoint's own vectors, (n, dim) float32, of texts cut at ``tokens``.

    One text at a time: padding can then have no part in them.
    """
    source.model.max_seq_length = tokens
    if source.pools_prompts:
        vectors = source.model.encode(list(texts), batch_size=1, prompt="", show_progress_bar=False)
        return np.asarray(vectors, np.float32)
    found = []
    for text in texts:
        prompt = begun(text, source.prompts)
        rest = text.removeprefix(prompt)
        found.append(source.model.encode([rest], prompt=prompt, show_progress_bar=False))
    return np.asarray(np.concatenate(found), np.float32)
