"""Text encoders as sentence-transformers runs them: a transformer, pooling, and what follows."""

from __future__ import annotations

from dataclasses import replace

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.text_encoders import sentence_model as sources
from nestvec_exporters.text_encoders.adapter_experts import adapter_experts
from nestvec_exporters.text_encoders.sentence_tower import SentenceTower, sentence_checkpoint
from nestvec_schemas.errors import CheckpointUnsupported


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Load the weights. Raises CheckpointUnsupported where they do not make a text encoder."""
    if options.overrides.bidirectional:
        raise CheckpointUnsupported(
            "the checkpoint is not a decoder whose causal mask can be lifted",
            value="--bidirectional",
            next_step="Omit it: an encoder's attention has no causal mask.",
        )

    def load_tower() -> SentenceTower:
        source = sources.with_overrides(sources.load(checkpoint), options.overrides)
        return SentenceTower(source, options.max_tokens)

    tower = load_tower()
    experts = adapter_experts(checkpoint, load_tower, lambda expert: expert.source.transformer)
    return replace(sentence_checkpoint(tower.source, tower), experts=experts)
