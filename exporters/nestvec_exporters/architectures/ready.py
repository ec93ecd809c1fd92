"""Ready graphs: a folder with an ONNX graph and a tokenizer becomes an encoder, without torch.

The graph's output and the checkpoint's small files say what it gives. The modules that sentence-transformers
would run after the graph are appended to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.graphs.external_data import load_external_data
from nestvec_exporters.checkpoints.interaction_config import interaction_of, read_markers
from nestvec_exporters.checkpoints.prompts import CheckpointPrompts, hidden_prefixes, read_prompts
from nestvec_exporters.checkpoints.rerankers.score_activation import activation_of
from nestvec_exporters.graph.ready.append import append_outputs
from nestvec_exporters.graph.ready.graph_as_found import GraphAsFound
from nestvec_exporters.graph.ready.layout import ReadyFolder, find_folder
from nestvec_exporters.graph.ready.onnx_file import read_onnx
from nestvec_exporters.graph.ready.onnx_graph import read_graph
from nestvec_exporters.graph.ready.plan import check_declared_type, plan_modules
from nestvec_exporters.graph.ready.ready_graph import ReadyGraph
from nestvec_exporters.graph.ready.text import (
    check_position_ids,
    check_room_for_prompts,
    read_text_settings,
    special_ids,
)
from nestvec_exporters.graph.save import save_graph
from nestvec_exporters.graph.tensors import OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.pairs import pair_rows, probe_pairs
from nestvec_exporters.probes.texts import marked_probe_texts, probe_texts, text_rows
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.late_interaction import token_arrays
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Tower

if TYPE_CHECKING:
    from torch import nn


class ReadyTower(TowerModel):
    """A graph that exists: it is finished, not traced."""

    ready = True
    in_precision = True

    def __init__(self, source: ReadyGraph, options: ExportOptions) -> None:
        self.source, self.kind, self.options = source, source.kind, options
        inputs = source.appended.inputs
        self.spec = Tower(
            inputs=inputs,
            output=OUTPUT,
            pooling=source.pooling,
            max_tokens=source.text.max_tokens,
            truncation_side=source.text.side,
            omits_prompts=bool(source.appended.prefixes),
            interaction=source.interaction,
            activation=activation_of(source.folder.transformer) if self.kind == "reranker" else None,
            alone=source.graph.padding_shows or (source.graph.batch_scaled and self.kind != "dense"),
        )
        self.example = dict.fromkeys(inputs, np.ones((2, 16), np.int64))
        self.dynamic_axes = {name: {1: "tokens"} for name in (*inputs, OUTPUT)}

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """There is none: raises CheckpointUnsupported."""
        raise CheckpointUnsupported(
            "the checkpoint is a graph already, which has no layers that could be read one by one",
            next_step="Export the checkpoint that the graph was made from.",
        )

    def write_graph(self, path: Path) -> None:
        """Write the graph with what is made of its output, under the names that the service knows."""
        model = read_onnx(self.source.graph.path)
        load_external_data(model, self.source.graph.path)
        append_outputs(model, self.source.graph, self.source.appended)
        save_graph(model, path)

    def rows(self, folder: Path, inputs: Sequence[Any], max_tokens: int) -> list[Arrays]:
        """Texts or pairs to rows."""
        if self.kind == "reranker":
            rows = pair_rows(folder, inputs, max_tokens, None, self.spec.truncation_side)
            return [{name: row[name] for name in row if name in ("input_ids", *self.example)} for row in rows]
        rows = text_rows(folder, inputs, max_tokens, self.spec.truncation_side)
        if self.kind == "multivector":
            return [token_arrays(row["input_ids"], self.source.interaction) for row in rows]
        return rows

    def reference(self, inputs: Sequence[Any], max_tokens: int) -> list[Array]:
        """What the graph as it was found makes of each input, and what numpy makes of that."""
        return self.as_found.outputs(inputs, max_tokens)

    def probes(self) -> Sequence[Any]:
        """Real texts, of late interaction marked by turns; of a reranker pairs of them."""
        if self.kind == "reranker":
            return probe_pairs()
        markers = self.source.markers
        if markers is None or self.source.interaction is None:
            return probe_texts()
        return marked_probe_texts(markers.query, markers.document)

    def save(self, folder: Path) -> None:
        """Write the tokenizer."""
        self.source.text.tokenizer.save(str(folder / TOKENIZER))

    @cached_property
    def as_found(self) -> GraphAsFound:
        """The graph as it was found, with numpy after it."""
        return GraphAsFound(self.source, self.options.overrides.pooling)


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Read the graph. Raises CheckpointUnsupported where it does not take texts or pairs."""
    source = _read(find_folder(checkpoint.folder, checkpoint.graph), options)
    precision = source.graph.precision
    if options.precision not in ("fp32", precision):
        raise EncoderError(
            f"the graph is ready in {precision}, and its precision stays what it is",
            value=options.precision,
            next_step="Omit --precision, or export the checkpoint that the graph was made from.",
        )
    return LoadedCheckpoint(
        kind=source.kind,
        dim=source.appended.width,
        normalised=source.normalised,
        towers={"text": ReadyTower(source, options)},
        precision=precision,
        prompts=source.prompts,
    )


def _read(folder: ReadyFolder, options: ExportOptions) -> ReadyGraph:
    markers = read_markers(folder.home, options.overrides)
    pools = bool(folder.declared.poolings) or options.overrides.pooling is not None
    graph = read_graph(folder.graph, pools=pools, output=options.onnx_output)
    check_position_ids(folder, graph.inputs)
    plan = plan_modules(graph, folder, options, markers)
    check_declared_type(folder, plan.kind)
    late = markers if plan.kind == "multivector" else None
    text = read_text_settings(folder, late, options.max_tokens)
    interaction = None if late is None else interaction_of(late, text.tokenizer, text.mask, text.max_tokens)
    if late is None:
        config = folder.home.json("config_sentence_transformers.json")
        prompts = read_prompts(config, options.overrides)
    elif interaction is None:
        prompts = CheckpointPrompts()
    else:
        prompts = CheckpointPrompts({"query": late.query, "document": late.document})
    if folder.declared.omits_prompts(plan.appended.poolings) and any(prompts.values()):
        prefixes = hidden_prefixes(text.tokenizer, special_ids(text.tokenizer), prompts)
        check_room_for_prompts(prefixes, text.max_tokens)
        plan = plan.with_prefixes(prefixes)
    return ReadyGraph(
        folder,
        graph,
        plan.appended,
        plan.kind,
        normalised=plan.normalised,
        text=text,
        prompts=prompts if plan.kind != "reranker" else CheckpointPrompts(),
        markers=late,
        interaction=interaction,
    )
