"""Decoder language models as encoders: the last token's vector, a mean, or a pooling that was trained.

In both layouts; with trained pooling as ``crossattention`` describes it. Prompts (instructions, as most of
these want before a query alone) are the checkpoint's or the options'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from nestvec_exporters.architectures import sentence
from nestvec_exporters.architectures import sentence_transformer as sources
from nestvec_exporters.architectures.sentence import head_of
from nestvec_exporters.architectures.sentence_transformer import Source, shown_of
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.layout import home_of, read_config
from nestvec_exporters.graph.cross_attention import LatentPool, LayersPool, Trained, trained_pooling
from nestvec_exporters.graph.pooling import POOLING, Pool, Shown
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.trace import Normalise, Pooled
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.texts import MAX_PROBE_TOKENS
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.vectors import Vectors

_FINITE: Final = 32_768.0
"""Half of the largest number that float16 holds."""

_RANGED: Final = 8


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    source = sources.overridden(sources.load(checkpoint), options.overrides)
    if options.overrides.bidirectional:
        lift_mask(source.transformer)
    home = home_of(checkpoint.folder)
    trained = trained_pooling(home, read_config(home))
    loaded = sentence.described(source, options)
    if trained is not None:
        loaded = _with_pooling(loaded, source, trained, options)
    half = plain(loaded.first, source.transformer, options)
    return replace(loaded, halves={"text": half})


def plain(half: Half, transformer: Any, options: ExportOptions) -> Half:
    """A decoder's tower: no fusion of int8 knows its attention, and fp16 may be too narrow for it.

    Raises CheckpointUnsupported where it is.
    """
    if options.precision == "fp16":
        check_range(half, transformer, half.probes()[:_RANGED])
    return replace(half, heads=0, hidden=0)


def lift_mask(transformer: Any) -> None:
    """Let every token see those behind it too. Raises CheckpointUnsupported where that has no effect."""
    transformer.config.get_text_config().is_causal = False
    with torch.no_grad():
        one, other = (
            transformer(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0, 0]
            for ids in (torch.tensor([[1, 2, 3]]), torch.tensor([[1, 2, 4]]))
        )
    if torch.equal(one, other):
        raise CheckpointUnsupported(
            "the causal mask of this architecture cannot be lifted",
            value=type(transformer).__name__,
            next_step="Leave --bidirectional away, or upgrade transformers.",
        )


class Layered(nn.Module):
    """Ids and mask, (batch, tokens) int64, to (batch, dim) by what every layer gives."""

    def __init__(
        self, transformer: nn.Module, pool: Pool, layers: LayersPool, head: nn.Module, shown: Shown | None
    ) -> None:
        super().__init__()
        self.transformer, self.pool, self.layers, self.head = transformer, pool, layers, head
        self.shown = shown

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        passed = self.transformer(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
        )
        mask = attention_mask if self.shown is None else self.shown(input_ids, attention_mask)
        pooled = torch.stack([self.pool(one, mask) for one in passed.hidden_states[1:]], dim=1)
        return (self.head(self.layers(pooled)),)


def _with_pooling(loaded: Loaded, source: Source, trained: Trained, options: ExportOptions) -> Loaded:
    """The checkpoint with its trained pooling in place of what sentence-transformers takes for it."""
    rest = head_of(source)
    head = nn.Sequential(rest, Normalise()) if trained.normalised else rest
    half, pool = loaded.first, trained.pool
    if isinstance(pool, LatentPool):
        # The last token of its own kind of pooling may stand in the folder, and is not what pools.
        shown = shown_of(replace(source, pooling=("mean",)))
        build: Any = partial(Pooled, source.transformer, [pool], head, shown=shown)
        name, layers = "latent", loaded.layers
    else:
        if len(pool.places) != loaded.layers:
            raise CheckpointUnsupported(
                "the checkpoint's trained pooling is for another number of layers",
                value=f"{len(pool.places)}, not {loaded.layers}",
                next_step="Put the pooling beside the checkpoint that it was trained with.",
            )
        each = _before_layers(options)
        shown = shown_of(replace(source, pooling=(each,)))
        build = partial(_layered, source.transformer, each, pool, head, shown)
        name, layers = f"layers+{each}", 1
    half = replace(
        half,
        build=build,
        tower=half.tower.model_copy(update={"pooling": name}),
        reference=partial(_reference, source, build),
    )
    unit = loaded.normalised or trained.normalised
    return replace(loaded, halves={"text": half}, layers=layers, normalised=unit)


def _before_layers(options: ExportOptions) -> str:
    """How a layer's token vectors become one: as the authors do for either kind of attention."""
    own = "mean" if options.overrides.bidirectional else "lasttoken"
    return options.overrides.pooling or own


def _layered(
    transformer: Any,
    each: str,
    pool: LayersPool,
    head: nn.Module,
    shown: Shown | None,
    exits: Sequence[int],
) -> nn.Module:
    return Layered(transformer, POOLING[each], pool, head, shown)


def _reference(source: Source, build: Any, texts: Sequence[str], tokens: int) -> Vectors:
    """The checkpoint's own vectors, (n, dim) float32: one text at a time, without padding."""
    module = build(()).eval()
    found = []
    with torch.no_grad():
        for text in texts:
            read = source.model.tokenizer(text, truncation=True, max_length=tokens, return_tensors="pt")
            found.append(module(read["input_ids"], read["attention_mask"])[-1].numpy())
    return np.concatenate(found)


def check_range(half: Half, transformer: Any, probes: Sequence[Any]) -> None:
    """Raise CheckpointUnsupported where numbers on the way are too large for float16: on a CPU, where the
    exported graph is compared, it is run in float32, and they would not show."""
    largest = 0.0

    def look(module: nn.Module, given: Any, made: Any) -> None:
        nonlocal largest
        for one in made if isinstance(made, tuple) else (made,):
            if isinstance(one, Tensor) and one.is_floating_point() and one.numel():
                largest = max(largest, float(one.abs().max()))

    leaves = [module for module in transformer.modules() if not any(module.children())]
    hooks = [module.register_forward_hook(look) for module in leaves]
    try:
        half.reference(probes, min(half.tower.max_tokens, MAX_PROBE_TOKENS))
    finally:
        for hook in hooks:
            hook.remove()
    if largest > _FINITE:
        raise CheckpointUnsupported(
            "numbers inside the checkpoint come too near the largest that float16 holds, 65,504",
            value=f"{largest:,.0f}",
            next_step="Export it with --precision fp32 or int8.",
        )
