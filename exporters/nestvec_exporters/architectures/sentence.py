"""Text encoders as sentence-transformers runs them: a transformer, pooling, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer

from nestvec_exporters import source as sources
from nestvec_exporters import verify
from nestvec_exporters.architectures.loaded import Half, Loaded
from nestvec_exporters.checkpoint import Checkpoint
from nestvec_exporters.graph import Encoder
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.prompts import begun
from nestvec_exporters.source import Source
from nestvec_exporters.triton import INPUTS, OUTPUT
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.rows import Arrays
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

PROMPTED: Final = 12
"""Texts that are compared with each prompt before them."""


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


def text_rows(folder: Path, texts: Sequence[str], tokens: int) -> list[Arrays]:
    """Texts to rows of ids, cut at ``tokens``, by the tokenizer in an encoder's folder."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.enable_truncation(tokens)
    return [{"input_ids": np.asarray(one.ids, np.int64)} for one in tokenizer.encode_batch_fast(list(texts))]


def _probes(source: Source) -> Sequence[str]:
    """Texts; where pooling leaves prompts out, some with each prompt as well."""
    left_out = () if source.pools_prompts else source.prompts.values()
    return (
        *verify.texts(),
        *(f"{prompt}{text}" for prompt in left_out for text in verify.texts()[:PROMPTED]),
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
