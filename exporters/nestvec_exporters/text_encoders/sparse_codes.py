"""Sparse codes: the largest units of an autoencoder over a sentence's vector (CSR, Wen et al. 2025,
arXiv:2503.01776), in sentence-transformers' layout of Transformer, Pooling and SparseAutoEncoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from torch import Tensor, nn

from nestvec_exporters.checkpoints.prompts import leading_prompt
from nestvec_exporters.checkpoints.tokenizer import truncation_side
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import TextTower
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.text_encoders.sentence_tower import SentenceEncoder
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.towers import CODES_POOLING, Tower
from nestvec_schemas.vectors import Vectors

AUTO_ENCODER = "SparseAutoEncoder"


class CodeSelection(nn.Module):
    """A sentence's vectors, (batch, dim), to the ``active`` largest units of an autoencoder, (batch, units);
    the others, and negative ones, are zero."""

    def __init__(self, auto_encoder: Any, active: int) -> None:
        super().__init__()
        self.auto_encoder, self.active = auto_encoder, active

    def forward(self, vectors: Tensor) -> Tensor:
        """The codes of a batch."""
        prepared, _ = self.auto_encoder.prepare(vectors)
        units: Tensor = self.auto_encoder.encode_pre_act(prepared)
        largest = torch.topk(units, self.active, dim=-1)
        return torch.relu(torch.zeros_like(units).scatter(-1, largest.indices, largest.values))


class CodesTower(TextTower):
    """A text encoder, and the autoencoder that makes codes of its vectors."""

    def __init__(self, model: SparseEncoder, max_tokens: int | None) -> None:
        modules: list[Any] = list(model)
        kinds = [type(module).__name__ for module in modules]
        if kinds[-1] != AUTO_ENCODER:
            raise CheckpointUnsupported(
                f"the checkpoint has modules behind its {AUTO_ENCODER}, or around it",
                value=", ".join(kinds),
                next_step=f"Choose a checkpoint whose last module is its {AUTO_ENCODER}.",
            )
        self.model, self.auto_encoder = model, modules[-1]
        # The same modules: neither copies weights.
        dense = SentenceTransformer(modules=modules[:-1], device="cpu", prompts=_texts(model))
        self.source = sources.describe(dense)
        spec = Tower(
            inputs=INPUTS,
            output=OUTPUT,
            pooling=CODES_POOLING,
            max_tokens=sources.max_tokens(self.source, max_tokens),
            truncation_side=truncation_side(model.tokenizer),
        )
        super().__init__(spec, sources.tokenizer(self.source))
        self.source.transformer.config.use_cache = False
        self.active = int(model.max_active_dims or self.auto_encoder.k)
        self.dim = int(self.auto_encoder.hidden_dim)
        self.heads, self.hidden = self.source.heads, self.source.hidden

    @property
    def layers(self) -> int:
        """Layers of the transformer."""
        return self.source.layers or 1

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """Transformer, pooling, what follows it, and the codes."""
        encoder = SentenceEncoder(self.source, exits)
        encoder.head = nn.Sequential(encoder.head, CodeSelection(self.auto_encoder, self.active))
        return encoder.eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The library's own codes, (n, units) float32, one text at a time."""
        self.model.max_seq_length = max_tokens
        encode: Any = self.model.encode
        rows = []
        for text in inputs:
            prompt = "" if self.source.pools_prompts else leading_prompt(text, self.source.prompts)
            codes = encode([text.removeprefix(prompt)], prompt=prompt, convert_to_sparse_tensor=False)
            rows.append(codes[0].numpy())
        return np.asarray(rows, np.float32)


def _texts(model: SparseEncoder) -> dict[str, str]:
    return {name: text or "" for name, text in model.prompts.items()}
