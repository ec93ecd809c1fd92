"""A table of token vectors with modules of sentence-transformers behind its mean: StaticEmbedding, then
Dense, LayerNorm or Normalize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import TextTower
from nestvec_exporters.graph.trace import HEAD_MODULES
from nestvec_exporters.static.table import own_limit, without_special_tokens
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

STATIC: Final = "StaticEmbedding"


class TableMean(nn.Module):
    """(batch, tokens) int64 ids and mask to what follows the mean of the tokens' vectors, (batch, dim)."""

    def __init__(self, table: Tensor, head: nn.Module) -> None:
        super().__init__()
        self.table = nn.Parameter(table.detach().float(), requires_grad=False)
        self.head = head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The vectors of a batch padded on the right; the mean of no tokens is zero."""
        mask = attention_mask.to(self.table.dtype)
        total = (mask.unsqueeze(1) @ self.table[input_ids]).squeeze(1)
        return (self.head(total / mask.sum(dim=1, keepdim=True).clamp(min=1)),)


class StaticModulesTower(TextTower):
    """StaticEmbedding and the modules behind it."""

    layers = 1
    own_files = True

    def __init__(self, model: SentenceTransformer, max_tokens: int | None) -> None:
        modules: list[Any] = list(model)
        kinds = [type(module).__name__ for module in modules]
        unknown = [kind for kind in kinds[1:] if kind not in HEAD_MODULES]
        if kinds[:1] != [STATIC] or unknown:
            raise CheckpointUnsupported(
                "the modules after the static embedding cannot be exported",
                value=", ".join(unknown or kinds),
                next_step=f"Choose a checkpoint of {STATIC} and: {', '.join(HEAD_MODULES)}.",
            )
        self.model, self.modules = model, modules
        spec = Tower(
            inputs=INPUTS,
            output=OUTPUT,
            pooling="mean",
            max_tokens=max_tokens or own_limit(modules[0].tokenizer.to_str()),
        )
        super().__init__(spec, without_special_tokens(modules[0].tokenizer))
        self.dim = int(model.get_embedding_dimension() or 0)
        self.normalised = kinds[-1] == "Normalize"

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The table, its mean and what follows."""
        head = (HEAD_MODULES[type(module).__name__](module) for module in self.modules[1:])
        return TableMean(self.modules[0].embedding.weight, nn.Sequential(*head)).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The library's own vectors, (n, dim) float32, of texts that are no longer than it reads."""
        encode: Any = self.model.encode
        self.modules[0].tokenizer.enable_truncation(max_tokens)
        return np.asarray(encode(list(inputs), batch_size=1, prompt="", show_progress_bar=False), np.float32)
