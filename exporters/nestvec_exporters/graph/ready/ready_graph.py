"""A ready graph, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass

from nestvec_exporters.checkpoints.interaction_config import Markers
from nestvec_exporters.checkpoints.prompts import CheckpointPrompts
from nestvec_exporters.graph.ready.append import Appended
from nestvec_exporters.graph.ready.layout import ReadyFolder
from nestvec_exporters.graph.ready.onnx_graph import OnnxGraph
from nestvec_exporters.graph.ready.text import TextSettings
from nestvec_schemas.late_interaction import Interaction
from nestvec_schemas.towers import OutputKind


@dataclass(frozen=True)
class ReadyGraph:
    """A folder's graph, and how it is read."""

    folder: ReadyFolder
    graph: OnnxGraph
    appended: Appended
    kind: OutputKind

    normalised: bool
    """Whether vectors have length 1."""

    text: TextSettings
    """The tokenizer as the service will have it, and how long a text may be."""

    prompts: CheckpointPrompts

    markers: Markers | None = None
    """What marks queries and documents, of late interaction."""

    interaction: Interaction | None = None

    @property
    def pooling(self) -> str:
        """What a manifest says of it."""
        if self.appended.keeps_tokens:
            return "tokens"
        return "+".join(self.appended.poolings) or ("logit" if self.kind == "reranker" else "graph")
