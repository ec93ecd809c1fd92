"""Text encoders with modules of their own code, as sentence-transformers runs them where that is trusted.

The whole of it is traced: what the modules compute is not known here, only that they give a vector per text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.max_length import max_text_tokens
from nestvec_exporters.checkpoints.prompts import leading_prompt, named_prompts
from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer, truncation_side
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.text_encoders.sentence_model import positions
from nestvec_exporters.text_encoders.sentence_tower import prompted_probes
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

_POOLING = "own code"
"""What a manifest calls the pooling."""


class OwnCodeGraph(nn.Module):
    """Ids and mask, (batch, tokens) int64, to (batch, dim) by all modules of sentence-transformers."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.transformer = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        """The vectors of a batch padded on the right."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        vectors: Tensor = self.transformer(features)["sentence_embedding"]
        return (vectors,)


class OwnCodeTower(TextTower):
    """A checkpoint whose modules are of its own code."""

    def __init__(self, model: SentenceTransformer, spec: Tower, prompts: Sequence[str]) -> None:
        super().__init__(spec, fast_tokenizer(model.tokenizer))
        self.model, self.prompts = model, tuple(prompts)

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """All modules. Raises CheckpointUnsupported for exits."""
        if exits:
            raise CheckpointUnsupported(
                "a checkpoint with modules of its own code has no exits that are known",
                value="--exits",
                next_step="Omit --exits.",
            )
        return OwnCodeGraph(self.model).eval()

    def reference(self, inputs: Sequence[str], max_tokens: int) -> Vectors:
        """The checkpoint's own vectors, (n, dim) float32, one text at a time."""
        self.model.max_seq_length = max_tokens
        named = {prompt: prompt for prompt in self.prompts}
        rows = []
        for text in inputs:
            prompt = leading_prompt(text, named)
            rest = text.removeprefix(prompt)
            rows.append(self.model.encode([rest], prompt=prompt, show_progress_bar=False))
        return np.asarray(np.concatenate(rows), np.float32)

    def probes(self) -> Sequence[str]:
        """Real texts, some with each prompt."""
        return prompted_probes([prompt for prompt in self.prompts if prompt])


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    if options.overrides.pooling is not None or options.overrides.bidirectional:
        raise CheckpointUnsupported(
            "the checkpoint's modules are of its own code, which says how it pools and attends",
            value="--pooling" if options.overrides.pooling else "--bidirectional",
            next_step="Omit it.",
        )
    try:
        model = SentenceTransformer(
            str(checkpoint.folder),
            device="cpu",
            trust_remote_code=checkpoint.trust_remote_code,
            local_files_only=True,
        )
        model.float().eval()
        model.truncate_dim = None
        vector = np.asarray(model.encode(["a"], show_progress_bar=False))
    except Exception as error:  # code of its own raises anything
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded with its own code",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that SentenceTransformer(FOLDER, trust_remote_code=True) loads it.",
        ) from error
    prompts = named_prompts(model.prompts, model.default_prompt_name, options.overrides)
    first: Any = model[0]
    transformer = getattr(first, "auto_model", None)
    limit = None if transformer is None else positions(transformer)
    spec = Tower(
        inputs=INPUTS,
        output=OUTPUT,
        pooling=_POOLING,
        max_tokens=max_text_tokens(model.max_seq_length, limit, options.max_tokens),
        truncation_side=truncation_side(model.tokenizer),
    )
    tower = OwnCodeTower(model, spec, tuple(prompts.values()))
    return LoadedCheckpoint(
        kind="dense",
        dim=int(vector.shape[-1]),
        normalised=type(list(model)[-1]).__name__ == "Normalize",
        towers={"text": tower},
        prompts=prompts,
    )
