"""The model that is trained: a checkpoint followed by a linear map, read at several layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from torch import Tensor, nn

from nestvec_exporters.graph.pooling import pools_of
from nestvec_exporters.graph.trace import HEAD_MODULES
from nestvec_exporters.nesting.sampling import pad_batch
from nestvec_exporters.text_encoders.sentence_model import SentenceModel, shown_of
from nestvec_exporters.train.state import copy_parameters, restore_parameters
from nestvec_exporters.train.tokens import TokenIds, batches_by_length
from nestvec_schemas.vectors import Matrix, Vectors

VectorsByLayer = dict[int, Tensor]
"""Vectors of a batch, (n, dim) float32 of length 1, by layer."""

_BATCH_TEXTS = 32
"""Texts in a forward pass; of similar length, so that little is padding."""


class Student(nn.Module):
    """A text encoder with a trainable linear map before its vectors are normalised.

    ``layers`` are the exits, deepest first. Vectors of an exit before the last layer pass through a map of
    that exit as well, which a checkpoint cannot store and an export fits anew. All maps are the identity
    until ``set_maps``.
    """

    def __init__(self, source: SentenceModel, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.source = source
        self.map = Dense(source.dim, source.dim, bias=False, activation_function=nn.Identity())
        self.model = _append_map(source, self.map)
        self.exit_maps = nn.ParameterDict(
            {str(layer): nn.Parameter(torch.eye(source.dim)) for layer in self.layers[1:]}
        )
        self.set_maps(np.eye(source.dim), {})
        self._transformer: Any = source.transformer
        self._prompt_mask = shown_of(source)
        self._pools = pools_of(source.pooling, self._prompt_mask)
        self._pad_id = int(source.model.tokenizer.pad_token_id or 0)
        self._head = nn.Sequential(
            *(HEAD_MODULES[type(module).__name__](module) for module in list(self.model)[2:])
        )
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.to(self._device).eval()
        for parameter in self._transformer.get_input_embeddings().parameters():
            # A batch's few words would move rows that all other texts rely on.
            parameter.requires_grad_(False)

    @torch.no_grad()
    def set_maps(self, matrix: Matrix, exit_maps: Mapping[int, Matrix]) -> None:
        """Set the map to ``matrix``, (d, d), and those of exits, which follow it, to ``exit_maps``."""
        self.map.linear.weight.copy_(torch.from_numpy(np.asarray(matrix.T, np.float32).copy()))
        for layer, exit_map in exit_maps.items():
            self.exit_maps[str(layer)].copy_(torch.from_numpy(np.asarray(exit_map, np.float32)))

    def forward(self, ids: Tensor, mask: Tensor) -> VectorsByLayer:
        """The vectors of a batch of ids, (n, tokens) int64, at every exit."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=supports_bf16(self._device)):
            passed = self._transformer(
                input_ids=ids, attention_mask=mask, output_hidden_states=len(self.layers) > 1
            )
        depth, *exits = self.layers
        read = {depth: passed.last_hidden_state, **{layer: passed.hidden_states[layer] for layer in exits}}
        shown = mask if self._prompt_mask is None else self._prompt_mask(ids, mask)
        return {layer: self._vectors(tokens.float(), shown, layer) for layer, tokens in read.items()}

    def vectors(self, rows: TokenIds) -> VectorsByLayer:
        """The vectors of texts in their order, from passes over texts of similar length."""
        groups = batches_by_length(rows, _BATCH_TEXTS)
        order = torch.from_numpy(np.argsort(np.concatenate(groups)))
        passes = []
        for group in groups:
            ids, mask = pad_batch([rows[index] for index in group], self._pad_id)
            passes.append(
                self(torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device))
            )
        return {
            layer: torch.cat([vectors[layer] for vectors in passes])[order.to(self._device)]
            for layer in self.layers
        }

    @torch.no_grad()
    def embed(
        self,
        rows: TokenIds,
        on_step: Callable[[int, int], None] = lambda done, total: None,
        layers: Sequence[int] | None = None,
    ) -> dict[int, Vectors]:
        """The vectors of many texts, (n, dim) float32 by layer; ``on_step`` receives the texts done."""
        selected_layers = self.layers if layers is None else layers
        vectors = {layer: np.empty((len(rows), self.source.dim), np.float32) for layer in selected_layers}
        done = 0
        for group in batches_by_length(rows, _BATCH_TEXTS):
            batch_vectors = self.vectors([rows[index] for index in group])
            for layer in selected_layers:
                vectors[layer][group] = batch_vectors[layer].cpu().numpy()
            done += len(group)
            on_step(done, len(rows))
        return vectors

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        inner = {
            name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad
        }
        return {**inner, **{f"exit.{layer}": parameter for layer, parameter in self.exit_maps.items()}}

    def weights(self) -> dict[str, Tensor]:
        """A copy of the trained parameters."""
        return copy_parameters(self.trainable())

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Restore what ``weights`` returned."""
        restore_parameters(self.trainable(), weights)

    def save(self, folder: Path) -> None:
        """Write the model as a sentence-transformers checkpoint in float32."""
        self.model.to("cpu").save(str(folder), create_model_card=False, safe_serialization=True)

    def _vectors(self, tokens: Tensor, mask: Tensor, layer: int) -> Tensor:
        pooled = torch.cat([pool(tokens, mask) for pool in self._pools], dim=1)
        vectors = nn.functional.normalize(self._head(pooled), dim=1)
        if layer == self.layers[0]:
            return vectors
        return nn.functional.normalize(vectors @ self.exit_maps[str(layer)], dim=1)


def _append_map(source: SentenceModel, linear_map: Dense) -> SentenceTransformer:
    """The encoder's model with one more module before it normalises."""
    modules = list(source.modules)
    modules.insert(len(modules) - 1 if source.normalised else len(modules), linear_map)
    model: SentenceTransformer = SentenceTransformer(
        modules=modules,
        prompts={name: text for name, text in source.model.prompts.items() if text is not None},
        default_prompt_name=source.model.default_prompt_name,
        similarity_fn_name=source.model.similarity_fn_name,
        device="cpu",
    )
    return model


def supports_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32; weights stay float32 either way."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def as_tensor(array: NDArray[np.float32], like: Tensor) -> Tensor:
    """An array on the device of ``like``."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(like.device)
