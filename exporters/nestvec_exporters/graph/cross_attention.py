"""Pooling that was trained: cross-attention between token vectors and learned ones.

Two kinds, recognised by the names of a checkpoint's tensors in safetensors:

- ``latent`` (NV-Embed, Lee et al. 2024): each token's vector looks at learned ones, and the mean of the
  results is the text's vector. Tensors ``latent_attention_model.NAME`` in any file of the folder.
- ``layers`` (multi-layer trainable pooling, Tang & Yang 2024): learned vectors look at the text's vector
  after each layer (its last token's, of bidirectional attention its mean), and their mean is the text's
  vector. Tensors ``NAME`` in the file ``attn_pool.safetensors``; its authors' ``attn_pool.pt`` has the
  same names.

NAME is ``latents`` (n, dim); ``pos_emb.weight`` (layers, dim) of ``layers`` alone; and of
``cross_attend_blocks`` ``0.norm``, ``0.norm_context`` and ``1.norm`` (weight, bias), ``0.fn.to_q``,
``0.fn.to_kv`` and ``0.fn.to_out`` (weight), ``1.fn.net.0`` and ``1.fn.net.2`` (weight, bias). What the shapes
do not say stands in config.json's ``latent_attention_config``: ``num_cross_heads`` (else 8 of ``latent``, 32
of ``layers``) and ``output_normalize`` (else false, true).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import Tensor, nn

from nestvec_exporters.checkpoints.layouts.trained_pooling import LATENT_PREFIX, LAYERS_FILE
from nestvec_schemas.errors import CheckpointUnsupported

_EPSILON: Final = 1e-9

Weights = Mapping[str, Tensor]


class _GatedFeedForward(nn.Module):
    """GEGLU between two linear maps (Shazeer 2020), added to its input."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.norm = _norm(weights, "1.norm")
        self.wide, self.narrow = _linear(weights, "1.fn.net.0"), _linear(weights, "1.fn.net.2")

    def forward(self, vectors: Tensor) -> Tensor:
        values, gates = self.wide(self.norm(vectors)).chunk(2, dim=-1)
        added: Tensor = self.narrow(values * nn.functional.gelu(gates)) + vectors
        return added


class _CrossAttention(nn.Module):
    """What both kinds share; ``heads`` of ``to_q`` and of both halves of ``to_kv``."""

    def __init__(self, weights: Weights, heads: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(_tensor(weights, "latents"))
        self.norm = _norm(weights, "0.norm")
        self.norm_context = _norm(weights, "0.norm_context")
        self.to_q, self.to_kv = _linear(weights, "0.fn.to_q"), _linear(weights, "0.fn.to_kv")
        self.to_out = _linear(weights, "0.fn.to_out")
        self.gated = _GatedFeedForward(weights)
        self.heads = heads
        if self.to_q.out_features % heads:
            raise _unsupported("heads that do not divide its width", heads)

    def attend(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(b, q, inner) and (b, k, 2 * inner), either b possibly 1, to (b, q, dim)."""
        query = self._split(queries)
        key, values = (self._split(half) for half in keys.chunk(2, dim=-1))
        weights = torch.softmax(query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5, dim=-1)
        joined = (weights @ values).transpose(1, 2).flatten(2)
        projected: Tensor = self.to_out(joined)
        return projected

    def _split(self, vectors: Tensor) -> Tensor:
        rows, places, width = vectors.shape
        return vectors.reshape(rows, places, self.heads, width // self.heads).transpose(1, 2)


class LatentPool(_CrossAttention):
    """Token vectors (batch, tokens, dim) and their mask to (batch, dim)."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The mean over the tokens that the mask shows."""
        learned = self.to_kv(self.norm_context(self.latents.unsqueeze(0)))
        attended = self.gated(self.attend(self.to_q(self.norm(tokens)), learned) + tokens)
        weights = mask.unsqueeze(-1).to(attended.dtype)
        pooled: Tensor = (attended * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=_EPSILON)
        return pooled


class LayersPool(_CrossAttention):
    """A text's vectors after each layer, (batch, layers, dim), to (batch, dim)."""

    def __init__(self, weights: Weights, heads: int) -> None:
        super().__init__(weights, heads)
        self.places = nn.Parameter(_tensor(weights, "pos_emb.weight"))

    def forward(self, layers: Tensor) -> Tensor:
        """The mean over the learned vectors."""
        placed = self.norm(layers + self.places[: layers.shape[1]])
        learned = self.latents.unsqueeze(0)
        queries = self.to_q(self.norm_context(learned))
        attended: Tensor = self.gated(self.attend(queries, self.to_kv(placed)) + learned)
        return attended.mean(dim=1)


@dataclass(frozen=True)
class TrainedPooling:
    """A checkpoint's trained pooling."""

    pool: LatentPool | LayersPool

    normalised: bool
    """Whether its vectors are brought to length 1."""


def trained_pooling(folder: Path, config: Mapping[str, Any]) -> TrainedPooling | None:
    """The trained pooling in a checkpoint's folder, or None. Raises CheckpointUnsupported.

    ``config`` is the content of its ``config.json``.
    """
    settings = config.get("latent_attention_config")
    settings = settings if isinstance(settings, dict) else {}
    layers = folder / LAYERS_FILE
    if layers.is_file():
        return TrainedPooling(
            LayersPool(_read(layers, ""), settings.get("num_cross_heads", 32)).float().eval(),
            settings.get("output_normalize", True),
        )
    weights = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights.update(_read(path, LATENT_PREFIX))
    if not weights:
        return None
    return TrainedPooling(
        LatentPool(weights, settings.get("num_cross_heads", 8)).float().eval(),
        settings.get("output_normalize", False),
    )


def _read(path: Path, before: str) -> dict[str, Tensor]:
    """The tensors of a file whose names start with a prefix, without it."""
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(before)]  # noqa: SIM118 - not a dict
        return {name.removeprefix(before): file.get_tensor(name).float() for name in names}


def _linear(weights: Weights, name: str) -> nn.Linear:
    weight = _tensor(weights, f"cross_attend_blocks.{name}.weight")
    bias = weights.get(f"cross_attend_blocks.{name}.bias")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def _norm(weights: Weights, name: str) -> nn.LayerNorm:
    weight = _tensor(weights, f"cross_attend_blocks.{name}.weight")
    norm = nn.LayerNorm(weight.shape[0])
    norm.weight = nn.Parameter(weight)
    norm.bias = nn.Parameter(_tensor(weights, f"cross_attend_blocks.{name}.bias"))
    return norm


def _tensor(weights: Weights, name: str) -> Tensor:
    if name not in weights:
        raise _unsupported("not all of its tensors", name)
    return weights[name]


def _unsupported(what: str, value: object) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"the checkpoint's trained pooling has {what}",
        value=value,
        next_step="Download the checkpoint again, or correct latent_attention_config in its config.json.",
    )
