"""Texts as a class of transformers reads them, pooled as sentence-transformers pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sentence_transformers
import torch
import transformers
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor

from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.probes.text_probes import text_probe_sets
from nestvec_exporters.verify.prompted import encode_by_prompt
from nestvec_exporters.verify.reference import Reference
from nestvec_schemas.preprocessing.collate import Array

ReadTexts = Callable[[list[str], str], tuple[Tensor, Tensor]]
"""Texts behind a prompt to ids and mask, (n, tokens), truncated and padded."""


class PooledTextReference(Reference):
    """The states of a model's last layer, pooled by ``modes`` of sentence-transformers."""

    def __init__(
        self, model: Any, read: ReadTexts, count: Callable[[str], int], modes: Sequence[str], width: int
    ) -> None:
        self.library = (
            f"transformers {transformers.__version__} ({type(model).__name__}), "
            f"sentence-transformers {sentence_transformers.__version__} (Pooling)"
        )
        self.model, self.read, self.count = model, read, count
        self.pooling = Pooling(width, pooling_mode=tuple(modes))
        self.heads = int(getattr(model.config, "num_attention_heads", 0) or 0)
        self.prompts = {}
        self.step = 1

    def with_prompts(self, prompts: Mapping[str, str]) -> PooledTextReference:
        """The same with prompts, which are tried too."""
        self.prompts = dict(prompts)
        return self

    def with_fewer_texts(self, step: int) -> PooledTextReference:
        """The same with every ``step``-th of the real texts, for a model that takes seconds for each."""
        self.step = step
        return self

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Texts of all kinds."""
        first, *others = text_probe_sets(self.prompts, max_tokens, self.count, full=full)
        probes = tuple(
            probe
            for place, probe in enumerate(first.probes)
            if probe.group != "texts" or place % self.step == 0
        )
        return (replace(first, probes=probes), *others)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """Vectors, (dim,) each."""

        def vectors(texts: list[Any], name: str | None) -> list[Array]:
            prompt = prompts.get(name or "", "")
            chunks = [texts[start : start + batch] for start in range(0, len(texts), batch)]
            return [row for chunk in chunks for row in self._pooled(chunk, prompt)]

        return encode_by_prompt(probes, vectors)

    def _pooled(self, texts: list[str], prompt: str) -> Array:
        ids, mask = self.read(texts, prompt)
        with torch.inference_mode():
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            features = self.pooling({"token_embeddings": states, "attention_mask": mask})
        rows: Array = np.asarray(features["sentence_embedding"].numpy(), np.float32)
        return rows
