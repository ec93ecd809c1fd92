"""Trace a tower to an ONNX graph; and the module of a text encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nestvec_exporters.checkpoints.quiet import captured_output
from nestvec_exporters.graph.pooling import Pool, PromptMask
from nestvec_exporters.graph.tensors import OUTPUT, exit_output
from nestvec_exporters.graph.tower import TowerModel
from nestvec_exporters.graph.tracing.padding_check import check_padding, class_of
from nestvec_exporters.graph.tracing.shape_check import check_shapes
from nestvec_exporters.graph.tracing.sparse_attention import prepare_sparse_attention
from nestvec_exporters.graph.tracing.traceable import traceable_attention_and_experts
from nestvec_schemas.errors import CheckpointUnsupported

# The last opset whose attention onnxruntime's fusion recognises.
_OPSET = 17


class Normalise(nn.Module):
    """Vectors, (batch, dim), to length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, p=2.0, dim=1)


class _ResidualDense(nn.Module):
    """A Dense module that adds its input, projected where the width changes."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.linear, self.activation = module.linear, module.activation_function
        self.residual = getattr(module, "residual", nn.Identity())

    def forward(self, vectors: Tensor) -> Tensor:
        projected: Tensor = self.activation(self.linear(vectors)) + self.residual(vectors)
        return projected


def _dense(module: Any) -> nn.Module:
    if getattr(module, "use_residual", False):
        return _ResidualDense(module)
    return nn.Sequential(module.linear, module.activation_function)


# What follows pooling, by kind: a sentence-transformers module to one that maps vectors to vectors.
HEAD_MODULES: dict[str, Callable[[Any], nn.Module]] = {
    "Dense": _dense,
    "LayerNorm": lambda module: nn.Sequential(module.norm),
    "Dropout": lambda module: nn.Identity(),
    "Normalize": lambda module: Normalise(),
}


class PooledEncoder(nn.Module):
    """Transformer, pooling and what follows it: (batch, tokens) int64 ids and mask to (batch, dim).

    With ``exits``, layers before the last: their vectors too, made by the same pooling and the same
    modules from what those layers give; in the order of ``exits``, the deepest last. ``prompt_mask`` takes
    prompts out of pooling, not out of what the transformer reads.
    """

    def __init__(
        self,
        transformer: nn.Module,
        pools: Sequence[Pool],
        head: nn.Module,
        exits: Sequence[int] = (),
        prompt_mask: PromptMask | None = None,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.exits = tuple(exits)
        self.pools = list(pools)
        # A pool with weights is a module, which torch registers only in its own list.
        self.trained = nn.ModuleList(pool for pool in pools if isinstance(pool, nn.Module))
        self.head = head
        self.prompt_mask = prompt_mask

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The sentence vectors of a batch padded on the right, one array per exit."""
        more = {"output_hidden_states": True} if self.exits else {}
        mask = attention_mask
        if self.prompt_mask is not None:
            mask, attention_mask = self.prompt_mask(input_ids, mask), attention_mask.clamp(max=1)
        passed = self.transformer(input_ids, attention_mask=attention_mask, **more)
        tokens = [passed.hidden_states[layer] for layer in self.exits]
        return tuple(self._vectors(states, mask) for states in (*tokens, passed.last_hidden_state))

    def _vectors(self, tokens: Tensor, mask: Tensor) -> Tensor:
        vectors: Tensor = self.head(torch.cat([pool(tokens, mask) for pool in self.pools], dim=1))
        return vectors


def trace_tower(tower: TowerModel, path: Path, exits: Sequence[int] = ()) -> None:
    """Trace a tower to ``path``; each of ``exits`` is an output beside the deepest.

    Raises CheckpointUnsupported where it cannot be traced, or only for the shapes that it is traced with.
    """
    module = tower.module(exits)
    prepare_sparse_attention(module, tower.spec.max_tokens)
    outputs = [*(exit_output(layer) for layer in exits), OUTPUT]
    axes = {name: {0: "batch", **tower.dynamic_axes.get(name, {})} for name in tower.example}
    output_axes = {0: "batch", **tower.dynamic_axes.get(OUTPUT, {})}
    try:
        with torch.no_grad(), traceable_attention_and_experts(), captured_output():
            torch.onnx.export(
                module,
                tuple(torch.from_numpy(array) for array in tower.example.values()),
                str(path),
                dynamo=False,
                opset_version=_OPSET,
                input_names=list(tower.example),
                output_names=outputs,
                dynamic_axes={**axes, **dict.fromkeys(outputs, output_axes)},
            )
    except Exception as error:
        raise CheckpointUnsupported(
            f"the graph of {class_of(module)} cannot be written as ONNX",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Choose another architecture: BERT, RoBERTa, MPNet, DistilBERT, T5, LLaMA, Mistral and "
            "Qwen encoders work.",
        ) from error
    check_shapes(tower, module, path)
    check_padding(tower, module)
