"""Decoder language models as encoders: the last token's vector, a mean, or a pooling that was trained.

In both layouts; with trained pooling as ``graph.cross_attention`` describes it. Prompts (instructions, which
most of these models want before a query alone) are the checkpoint's or the options'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.layout import read_config, transformer_folder
from nestvec_exporters.graph.cross_attention import LatentPool, LayersPool, TrainedPooling, trained_pooling
from nestvec_exporters.graph.pooling import POOLING, Pool, PromptMask
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower
from nestvec_exporters.graph.trace import Normalise, PooledEncoder
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.text_encoders.adapter_experts import adapter_experts
from nestvec_exporters.text_encoders.sentence_model import SentenceModel, shown_of
from nestvec_exporters.text_encoders.sentence_tower import (
    SentenceTower,
    head_of,
    omitting_prompts,
    prompted_probes,
    sentence_checkpoint,
    sentence_spec,
)
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.vectors import Vectors

_MIN_COSINE: Final = 0.9999


class LayerPooledEncoder(nn.Module):
    """Ids and mask, (batch, tokens) int64, to (batch, dim) by what every layer gives."""

    def __init__(
        self,
        transformer: nn.Module,
        pool: Pool,
        layers: LayersPool,
        head: nn.Module,
        prompt_mask: PromptMask | None,
    ) -> None:
        super().__init__()
        self.transformer, self.pool, self.layers, self.head = transformer, pool, layers, head
        self.prompt_mask = prompt_mask

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        """The vectors of a batch padded on the right."""
        mask = attention_mask
        if self.prompt_mask is not None:
            mask, attention_mask = self.prompt_mask(input_ids, mask), attention_mask.clamp(max=1)
        passed = self.transformer(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
        )
        pooled = torch.stack([self.pool(states, mask) for states in passed.hidden_states[1:]], dim=1)
        return (self.head(self.layers(pooled)),)


class TrainedPoolingTower(TextTower):
    """A decoder with the pooling that was trained for it, in place of what sentence-transformers would take.

    ``layer_pooling`` is how a layer's token vectors become one, where the pooling reads every layer.
    """

    library_runs = False

    def __init__(
        self, source: SentenceModel, trained: TrainedPooling, layer_pooling: str, max_tokens: int | None
    ) -> None:
        latent = isinstance(trained.pool, LatentPool)
        spec = sentence_spec(source, max_tokens, "latent" if latent else f"layers+{layer_pooling}")
        super().__init__(spec, sources.tokenizer(source))
        self.source, self.pool, self.layer_pooling = source, trained.pool, layer_pooling
        rest = head_of(source)
        self.head = nn.Sequential(rest, Normalise()) if trained.normalised else rest
        # The pooling that the folder names, the last token's for instance, is not the one that pools.
        self.prompt_mask = shown_of(replace(source, pooling=("mean" if latent else layer_pooling,)))
        self.spec = omitting_prompts(self.spec, self.prompt_mask)
        source.transformer.config.use_cache = False

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """Transformer, trained pooling and head."""
        transformer = self.source.transformer
        module: nn.Module
        if isinstance(self.pool, LatentPool):
            module = PooledEncoder(transformer, [self.pool], self.head, exits, self.prompt_mask)
        else:
            pool = POOLING[self.layer_pooling]
            module = LayerPooledEncoder(transformer, pool, self.pool, self.head, self.prompt_mask)
        return module.eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The checkpoint's own vectors, (n, dim) float32: one text at a time, without padding."""
        module, tokenizer = self.module(), self.source.model.tokenizer
        rows = []
        with torch.no_grad():
            for text in inputs:
                read = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
                rows.append(module(read["input_ids"], read["attention_mask"])[-1].numpy())
        return np.concatenate(rows)

    def probes(self) -> Sequence[str]:
        """Texts; where pooling leaves prompts out, some with each prompt as well."""
        prompts = () if self.source.pools_prompts else tuple(self.source.prompts.values())
        return prompted_probes(prompts)


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    source = _source(checkpoint, options)
    _check_left_padding(source)
    home = transformer_folder(checkpoint.folder)
    trained = trained_pooling(home, read_config(home))
    if trained is not None:
        return _with_trained_pooling(source, trained, options)

    def load_expert() -> SentenceTower:
        return SentenceTower(_source(checkpoint, options), options.max_tokens, fused=False)

    experts = adapter_experts(checkpoint, load_expert, lambda expert: expert.source.transformer)
    tower = SentenceTower(source, options.max_tokens, fused=False)
    return replace(sentence_checkpoint(source, tower), experts=experts)


def _check_left_padding(source: SentenceModel) -> None:
    """Raise CheckpointUnsupported if the library's own vectors depend on padding on the left, which counts as
    positions where a class has learned ones and is given none."""
    if source.model.tokenizer.padding_side != "left":
        return
    ids, mask = torch.tensor([[1, 2, 3, 4]]), torch.ones((1, 4), dtype=torch.int64)
    padding = torch.zeros_like(mask)
    with torch.no_grad():
        alone, padded = (
            source.transformer(input_ids=row, attention_mask=visible).last_hidden_state[0, -1]
            for row, visible in ((ids, mask), (torch.cat([padding, ids], 1), torch.cat([padding, mask], 1)))
        )
    cosine = float(nn.functional.cosine_similarity(alone.float(), padded.float(), dim=0))
    if cosine < _MIN_COSINE:
        name = type(source.transformer).__name__
        raise CheckpointUnsupported(
            f"{name} counts padding on the left as positions, so that sentence-transformers' vectors depend "
            "on what shares a batch",
            value=f"a cosine of {cosine:.4f} between a text alone and in a batch",
            next_step="Set padding_side to right in tokenizer_config.json if the checkpoint was trained so.",
        )


def _source(checkpoint: Checkpoint, options: ExportOptions) -> SentenceModel:
    source = sources.with_overrides(sources.load(checkpoint), options.overrides)
    if options.overrides.bidirectional:
        make_bidirectional(source.transformer)
    return source


def make_bidirectional(transformer: Any) -> None:
    """Let every token see those behind it too. Raises CheckpointUnsupported where that has no effect."""
    transformer.config.get_text_config().is_causal = False
    with torch.no_grad():
        first, second = (
            transformer(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0, 0]
            for ids in (torch.tensor([[1, 2, 3]]), torch.tensor([[1, 2, 4]]))
        )
    if torch.equal(first, second):
        raise CheckpointUnsupported(
            "the causal mask of this architecture cannot be lifted",
            value=type(transformer).__name__,
            next_step="Omit --bidirectional, or upgrade transformers.",
        )


def _with_trained_pooling(
    source: SentenceModel, trained: TrainedPooling, options: ExportOptions
) -> LoadedCheckpoint:
    # A layer's token vectors become one as the authors do it for either kind of attention.
    own = "mean" if options.overrides.bidirectional else "lasttoken"
    tower = TrainedPoolingTower(source, trained, options.overrides.pooling or own, options.max_tokens)
    loaded = sentence_checkpoint(source, tower)
    layers = loaded.layers
    if isinstance(trained.pool, LayersPool):
        if len(trained.pool.places) != layers:
            raise CheckpointUnsupported(
                "the checkpoint's trained pooling is for another number of layers",
                value=f"{len(trained.pool.places)}, not {layers}",
                next_step="Put the pooling beside the checkpoint that it was trained with.",
            )
        layers = 1
    return replace(loaded, layers=layers, normalised=loaded.normalised or trained.normalised)
