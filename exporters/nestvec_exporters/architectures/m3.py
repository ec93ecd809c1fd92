"""BGE-M3 and its kin: a vector of the text, weights of its words and vectors of its tokens, of one pass
(Chen et al. 2024, arXiv:2402.03216), as FlagEmbedding computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nestvec_exporters.architectures import sentence
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.kinds import M3_HEADS
from nestvec_exporters.checkpoints.layouts.m3_heads import head_files
from nestvec_exporters.graph.tensors import OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.text_encoders.sentence_model import SentenceModel
from nestvec_exporters.text_encoders.sentence_tower import SentenceTower, sentence_checkpoint
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import normalise

_UNWEIGHTED = ("cls_token", "eos_token", "pad_token", "unk_token")
"""Tokens that are no words."""


class PackedEncoder(nn.Module):
    """(batch, tokens) int64 ids and mask to (batch, tokens, dim + 2), as ``packed_outputs`` describes."""

    unweighted: Tensor

    def __init__(self, transformer: Any, heads: Mapping[str, nn.Linear], unweighted: Sequence[int]) -> None:
        super().__init__()
        self.transformer = transformer
        self.weigh, self.project = (heads[name] for name in M3_HEADS)
        self.register_buffer("unweighted", torch.tensor(sorted(unweighted)), persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The outputs of a batch padded on the right; all of a text's vectors have length 1."""
        states = self.transformer(input_ids, attention_mask=attention_mask).last_hidden_state
        first = nn.functional.normalize(states[:, :1], p=2.0, dim=-1)
        tokens = nn.functional.normalize(self.project(states[:, 1:]), p=2.0, dim=-1)
        vectors = torch.cat([first, tokens], dim=1)
        special = (input_ids.unsqueeze(-1) == self.unweighted).sum(dim=-1, keepdim=True)
        weights = torch.relu(self.weigh(states)) * (special == 0).to(states.dtype)
        ids = input_ids.unsqueeze(-1).to(states.dtype)
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return torch.cat([vectors, weights, ids], dim=-1) * mask


class PackedTower(SentenceTower):
    """A transformer with both heads."""

    def __init__(self, source: SentenceModel, heads: Mapping[str, nn.Linear], max_tokens: int | None) -> None:
        super().__init__(source, max_tokens)
        self.head_layers = heads
        self.outputs = {"sparse": int(source.transformer.config.vocab_size), "multivector": source.dim}
        self.dynamic_axes = {name: {1: "tokens"} for name in (*self.example, OUTPUT)}

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The transformer and what is made of its token vectors."""
        return PackedEncoder(self.source.transformer, self.head_layers, self._unweighted()).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> list[Array]:  # type: ignore[override]
        """What FlagEmbedding makes of transformers' token vectors, in numpy, one text at a time."""
        return [self._packed(text, max_tokens) for text in inputs]

    def _packed(self, text: str, max_tokens: int) -> Array:
        row = self.source.model.tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
        ids = row["input_ids"]
        with torch.no_grad():
            passed = self.source.transformer(ids, attention_mask=row["attention_mask"])
        states: Array = passed.last_hidden_state[0].numpy()
        (weigh, weigh_bias), (project, project_bias) = (
            (layer.weight.detach().numpy(), layer.bias.detach().numpy())
            for layer in (self.head_layers[name] for name in M3_HEADS)
        )
        weights = np.maximum(states @ weigh[0] + weigh_bias[0], 0)
        weights[np.isin(ids[0].numpy(), self._unweighted())] = 0
        vectors = np.concatenate([states[:1], states[1:] @ project.T + project_bias])
        return np.column_stack([normalise(vectors), weights, ids[0].numpy()]).astype(np.float32)

    def _unweighted(self) -> list[int]:
        tokenizer: Any = self.source.model.tokenizer
        return sorted({getattr(tokenizer, f"{name}_id") for name in _UNWEIGHTED} - {None})


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make the three outputs."""
    files = head_files(checkpoint.folder, options)
    if not files:
        return sentence.load(checkpoint, options)
    _check_options(options)
    source = sources.with_overrides(sources.load(checkpoint), options.overrides)
    if source.pooling != ("cls",) or len(source.modules) != 3 or not source.normalised:
        raise CheckpointUnsupported(
            "the checkpoint's heads belong to vectors that are the first token's, normalised",
            value=", ".join([*source.pooling, *(type(module).__name__ for module in source.modules[2:])]),
            next_step="Give modules.json with Transformer, Pooling by cls, and Normalize, as BGE-M3 has it.",
        )
    heads = {name: _head(path) for name, path in files.items()}
    shapes = {name: tuple(head.weight.shape) for name, head in heads.items()}
    width = source.hidden
    if shapes["sparse_linear"] != (1, width) or shapes["colbert_linear"] != (source.dim, width):
        raise CheckpointUnsupported(
            f"the checkpoint's heads do not fit its {width} dims",
            value=", ".join(f"{name} {shape}" for name, shape in shapes.items()),
            next_step="Give the heads that were trained with this encoder.",
        )
    return replace(sentence_checkpoint(source, PackedTower(source, heads, options.max_tokens)), layers=1)


def _check_options(options: ExportOptions) -> None:
    chosen = {
        "--pooling": options.overrides.pooling,
        "--exits": options.exits,
        "--rotate": options.rotation,
        "--expert": options.experts,
    }
    for name, value in chosen.items():
        if value:
            raise CheckpointUnsupported(
                "the option is for dense vectors alone, and the checkpoint has heads of words and tokens",
                value=name,
                next_step="Omit it, or export the dense vectors alone: "
                f"{' '.join(f'--ignore {head}.safetensors' for head in M3_HEADS)}.",
            )


def _head(path: Path) -> nn.Linear:
    tensors = load_file(path)
    if set(tensors) != {"weight", "bias"}:
        raise CheckpointUnsupported(
            f"{path.name} is not a linear layer",
            value=", ".join(sorted(tensors)),
            next_step="Convert it again from the checkpoint's own file.",
        )
    weight = tensors["weight"].float()
    weight = weight.reshape(1, -1) if weight.ndim == 1 else weight
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": tensors["bias"].float().reshape(-1)})
    return layer.eval()
