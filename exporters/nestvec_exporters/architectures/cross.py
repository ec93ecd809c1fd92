"""Cross-encoders: a query read together with a document, and one score for both (CrossEncoder)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from torch import Tensor, nn

from nestvec_exporters.architectures.sentence_transformer import check_complete, fast_tokenizer, positions
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import first_folder
from nestvec_exporters.checkpoints.max_length import limited
from nestvec_exporters.checkpoints.score_activation import CROSS_CONFIG, activation_of
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.triton import INPUTS, OUTPUT
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.pairs import TYPES, Texts, pair_rows, pairs
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower

POOLING: Final = "logit"
"""What a manifest calls the pooling of a reranker: its graph gives the logit, without an activation."""


class Scorer(nn.Module):
    """A sequence classifier of one label: (batch, tokens) int64 arrays to logits, (batch, 1)."""

    def __init__(self, transformer: Any, exits: Sequence[int] = ()) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: Tensor, attention_mask: Tensor, types: Tensor | None = None) -> Tensor:
        """The logits of a batch padded on the right."""
        more = {} if types is None else {TYPES: types}
        logits: Tensor = self.transformer(input_ids=input_ids, attention_mask=attention_mask, **more).logits
        return logits


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Load the weights. Raises CheckpointUnsupported where they do not make a cross-encoder."""
    small = CheckpointFiles(checkpoint.folder)
    model = _model(checkpoint.folder)
    transformer: Any = model.model
    config = transformer.config.get_text_config()
    typed = TYPES in model.tokenizer("a", "b") and getattr(config, "type_vocab_size", 0) > 1
    inputs = (*INPUTS, TYPES) if typed else INPUTS
    tower = Tower(
        inputs=inputs,
        output=OUTPUT,
        pooling=POOLING,
        max_tokens=limited(model.max_seq_length, positions(transformer), options.max_tokens),
        activation=activation_of(small),
        alone=options.precision == "int8",
    )
    tokenizer = fast_tokenizer(model.tokenizer)
    half = Half(
        tower=tower,
        build=partial(Scorer, transformer),
        example=dict.fromkeys(inputs, torch.ones((2, 16), dtype=torch.int64)),
        axes={name: {1: "tokens"} for name in inputs},
        rows=pair_rows,
        reference=partial(_reference, model),
        probes=pairs,
        save=lambda folder: tokenizer.save(str(folder / TOKENIZER)),
        heads=getattr(config, "num_attention_heads", 0),
        hidden=getattr(config, "hidden_size", 0),
    )
    return Loaded(kind="reranker", dim=1, normalised=False, halves={"text": half})


def _model(folder: Path) -> CrossEncoder:
    """In float32 and evaluation mode. Raises CheckpointUnsupported."""
    try:
        model = CrossEncoder(
            str(folder),
            device="cpu",
            model_kwargs={"attn_implementation": "eager"},
            trust_remote_code=False,
            local_files_only=True,
        )
        check_complete(model.model, first_folder(folder), spare="")
    except NestvecError:
        raise
    except Exception as error:
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded as a cross-encoder",
            value=str(error).strip().partition("\n")[0] or type(error).__name__,
            next_step="Check that sentence-transformers' CrossEncoder loads it on its own.",
        ) from error
    labels = model.num_labels
    if labels != 1:
        raise CheckpointUnsupported(
            "the checkpoint is a classifier: a reranker has one score, and it has several labels",
            value=f"{labels} labels",
            next_step="Choose a checkpoint with one label, or an embedding checkpoint.",
        )
    if any(CheckpointFiles(folder).json(CROSS_CONFIG).get("prompts", {}).values()):
        raise CheckpointUnsupported(
            "the cross-encoder has prompts, which no face of reranking can name",
            value=CROSS_CONFIG,
            next_step="Choose a checkpoint without prompts.",
        )
    model.float().eval()
    found: CrossEncoder = model
    return found


def _reference(model: CrossEncoder, inputs: Sequence[Texts], tokens: int) -> Array:
    """The checkpoint's own logits, (n, 1) float32, of pairs cut at ``tokens``, one at a time."""
    model.max_seq_length = tokens
    scores = model.predict(list(inputs), batch_size=1, activation_fn=nn.Identity(), show_progress_bar=False)
    return np.asarray(scores, np.float32).reshape(-1, 1)
