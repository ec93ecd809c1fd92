"""Ready graphs: their checkpoint's own library where its weights are beside them, else as they were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

from nestvec_exporters.checkpoints.checkpoint import Checkpoint, check_safetensors
from nestvec_exporters.checkpoints.kinds import identify_weights
from nestvec_exporters.checkpoints.layout import first_folder
from nestvec_exporters.graph.ready.graph_as_found import GraphAsFound
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.pair_probes import pair_probe_sets
from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_exporters.probes.text_probes import text_probe_sets
from nestvec_exporters.verify.prompted import encode_by_prompt
from nestvec_exporters.verify.reference import Reference
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import Modality


class _Tower(Protocol):
    """The tower of a ready graph."""

    @property
    def as_found(self) -> GraphAsFound: ...


class ReadyReference(Reference):
    """The graph as it was found, with its declared modules in numpy; no other program runs it."""

    library = "no independent reference"
    independent = False

    def __init__(self, graph: GraphAsFound) -> None:
        source = graph.source
        self.graph, self.kind = graph, source.kind
        self.max_tokens = source.text.max_tokens
        declared = source.folder.home.json("config_sentence_transformers.json").get("prompts") or {}
        self.prompts = {name: text for name, text in declared.items() if text} if self.kind == "dense" else {}
        heads = source.folder.transformer.config.get("num_attention_heads")
        self.heads = heads if isinstance(heads, int) else 0

    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """Texts, or queries with documents, of all kinds."""
        if self.kind == "reranker":
            return pair_probe_sets(max_tokens, self.graph.count, full=full)
        prompts = self.prompts if self.kind == "dense" else {}
        return text_probe_sets(prompts, max_tokens, self.graph.count, full=full)

    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """What the graph gives for each alone, whatever ``batch`` is."""

        def outputs(values: Sequence[object], name: str | None) -> list[Array]:
            own = self.prompts.get(name or "", prompts.get(name or "", ""))
            return self.graph.outputs(values, self.max_tokens or 1, own)

        return encode_by_prompt(probes, outputs)


def open_references(
    checkpoint: Checkpoint, loaded: LoadedCheckpoint, options: ExportOptions
) -> dict[Modality, Reference]:
    """The checkpoint's own library where it has the weights as well; else the graph as it was found."""
    from nestvec_exporters.verify import references  # noqa: PLC0415 - it imports this

    graph = cast("_Tower", loaded.main_tower).as_found
    folder = graph.source.folder
    if folder.has_weights:
        home = folder.home.folder
        check_safetensors(first_folder(home))
        weights = replace(checkpoint, folder=home, architecture=identify_weights(home).name, graph=None)
        opened = references.open_references(weights, loaded, options)
        if all(reference.independent for reference in opened.values()):
            return {"text": opened["text"]}
    return {"text": ReadyReference(graph)}
