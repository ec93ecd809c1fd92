"""Cross-encoders: a query read together with a document, and one score for both (CrossEncoder)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from sentence_transformers import CrossEncoder
from torch import Tensor, nn

from nestvec_exporters.architectures.sentence_transformer import positions
from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import first_folder
from nestvec_exporters.checkpoints.max_length import max_text_tokens
from nestvec_exporters.checkpoints.score_activation import CROSS_CONFIG, activation_of
from nestvec_exporters.checkpoints.tokenizer import fast_tokenizer
from nestvec_exporters.checkpoints.weights import check_complete, missing_weights
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TextTower
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.pairs import TYPE_IDS, TextPair, pair_rows, probe_pairs
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.towers import Tower

LOGIT_POOLING: Final = "logit"
"""What a manifest calls the pooling of a reranker: its graph gives the logit, without an activation."""


class CrossEncoderGraph(nn.Module):
    """A sequence classifier of one label: (batch, tokens) int64 arrays to logits, (batch, 1)."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: Tensor, attention_mask: Tensor, types: Tensor | None = None) -> Tensor:
        """The logits of a batch padded on the right."""
        more = {} if types is None else {TYPE_IDS: types}
        logits: Tensor = self.transformer(input_ids=input_ids, attention_mask=attention_mask, **more).logits
        return logits


class CrossEncoderTower(TextTower):
    """A cross-encoder: a query with a document to a logit."""

    def __init__(self, model: CrossEncoder, spec: Tower) -> None:
        super().__init__(spec, fast_tokenizer(model.tokenizer))
        self.model = model
        transformer: Any = model.model
        config = transformer.config.get_text_config()
        self.heads = getattr(config, "num_attention_heads", 0)
        self.hidden = getattr(config, "hidden_size", 0)

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """The sequence classifier."""
        return CrossEncoderGraph(self.model.model).eval()

    def rows(self, folder: Path, inputs: Sequence[TextPair], max_tokens: int) -> list[Arrays]:
        """Pairs to rows of ids."""
        return pair_rows(folder, inputs, max_tokens)

    def reference(self, inputs: Sequence[TextPair], max_tokens: int) -> Array:
        """The checkpoint's own logits, (n, 1) float32, one pair at a time."""
        self.model.max_seq_length = max_tokens
        scores = self.model.predict(
            list(inputs), batch_size=1, activation_fn=nn.Identity(), show_progress_bar=False
        )
        return np.asarray(scores, np.float32).reshape(-1, 1)

    def probes(self) -> Sequence[TextPair]:
        """Real texts as queries with documents."""
        return probe_pairs()


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a cross-encoder."""
    model = _model(checkpoint.folder)
    transformer: Any = model.model
    config = transformer.config.get_text_config()
    has_types = TYPE_IDS in model.tokenizer("a", "b") and getattr(config, "type_vocab_size", 0) > 1
    spec = Tower(
        inputs=(*INPUTS, TYPE_IDS) if has_types else INPUTS,
        output=OUTPUT,
        pooling=LOGIT_POOLING,
        max_tokens=max_text_tokens(model.max_seq_length, positions(transformer), options.max_tokens),
        activation=activation_of(CheckpointFiles(checkpoint.folder)),
        alone=options.precision == "int8",
    )
    tower = CrossEncoderTower(model, spec)
    return LoadedCheckpoint(kind="reranker", dim=1, normalised=False, towers={"text": tower})


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
        check_complete(missing_weights(model.model, first_folder(folder)))
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
            "the cross-encoder has prompts, which no reranking API can name",
            value=CROSS_CONFIG,
            next_step="Choose a checkpoint without prompts.",
        )
    model.float().eval()
    cross_encoder: CrossEncoder = model
    return cross_encoder
