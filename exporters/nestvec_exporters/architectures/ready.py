"""Ready graphs: a folder with an ONNX graph and a tokenizer becomes an encoder, without torch.

The name and shape of the output and the checkpoint's small files say what the graph gives. Verification
runs the graph as it was found, one input at a time, and pools in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnxruntime
from tokenizers import Tokenizer

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import GRAPHS, CheckpointFiles
from nestvec_exporters.checkpoints.interaction_config import Markers, interaction_of, read_markers
from nestvec_exporters.checkpoints.max_length import max_text_tokens
from nestvec_exporters.checkpoints.prompts import named_prompts
from nestvec_exporters.checkpoints.score_activation import activation_of
from nestvec_exporters.graph.onnx_graph import (
    ONNX_POOLING,
    OnnxGraph,
    append_outputs,
    read_graph,
    stated_pooling,
)
from nestvec_exporters.graph.save import save_graph
from nestvec_exporters.graph.tensors import INPUTS, OUTPUT
from nestvec_exporters.graph.tower import LoadedCheckpoint, TowerModel
from nestvec_exporters.options import ExportOptions, Overrides
from nestvec_exporters.probes.pairs import TYPE_IDS, pair_rows, probe_pairs
from nestvec_exporters.probes.texts import marked_probe_texts, probe_texts
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.late_interaction import KEEP_INPUT, Interaction, token_arrays
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import OutputKind, Tower

if TYPE_CHECKING:
    from torch import nn

_KINDS: dict[str, OutputKind] = {"logit": "reranker", "tokens": "multivector"}
"""Of what is made of the output; all else gives one vector per input."""

_MASKS: Final = ("[MASK]", "<mask>")


@dataclass(frozen=True)
class ReadyGraph:
    """A folder's graph, and how it is read."""

    graph: OnnxGraph

    files: CheckpointFiles

    pooling: str
    """What is made of the graph's output."""

    normalised: bool
    """Whether vectors have length 1."""

    tokenizer: Tokenizer
    """As the service will have it."""

    max_tokens: int

    markers: Markers | None = None
    """What marks queries and documents, of late interaction."""

    interaction: Interaction | None = None

    @property
    def kind(self) -> OutputKind:
        """What kind of encoder it makes."""
        return _KINDS.get(self.pooling, "dense")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs of the graph as it is written."""
        if self.kind == "multivector":
            return (*INPUTS, KEEP_INPUT)
        types = self.kind == "reranker" and TYPE_IDS in self.graph.inputs
        return (*INPUTS, TYPE_IDS) if types else INPUTS


class ReadyTower(TowerModel):
    """A graph that exists: it is finished, not traced, and verified against itself as it was found."""

    ready = True
    in_precision = True

    def __init__(self, source: ReadyGraph) -> None:
        self.source, self.kind = source, source.kind
        self.spec = Tower(
            inputs=source.inputs,
            output=OUTPUT,
            pooling=source.pooling,
            max_tokens=source.max_tokens,
            interaction=source.interaction,
            activation=activation_of(source.files) if self.kind == "reranker" else None,
            alone=source.graph.batch_scaled and self.kind != "dense",
        )
        self.example = dict.fromkeys(source.inputs, np.ones((2, 16), np.int64))
        self.dynamic_axes = {name: {1: "tokens"} for name in (*source.inputs, OUTPUT)}

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The graph as it was found."""
        return self.source.graph.session()

    def module(self, exits: Sequence[int] = ()) -> nn.Module:
        """There is none: raises CheckpointUnsupported."""
        raise CheckpointUnsupported(
            "the checkpoint is a graph already, which has no layers that could be read one by one",
            next_step="Export the checkpoint that the graph was made from.",
        )

    def write_graph(self, path: Path) -> None:
        """Write the graph with what is made of its output, under the names that the service knows."""
        source = self.source
        model = onnx.load(str(source.graph.path))
        append_outputs(model, source.graph, source.pooling, source.inputs, normalised=source.normalised)
        save_graph(model, path)

    def rows(self, folder: Path, inputs: Sequence[Any], max_tokens: int) -> list[Arrays]:
        """Texts or pairs to rows, by the tokenizer in memory."""
        if self.kind == "reranker":
            return pair_rows(folder, inputs, max_tokens)
        ids = [row["input_ids"] for row in self._encode(inputs, max_tokens)]
        if self.kind == "multivector":
            return [token_arrays(row, self.source.interaction) for row in ids]
        return [{"input_ids": row} for row in ids]

    def reference(self, inputs: Sequence[Any], max_tokens: int) -> list[Array]:
        """What the graph as it was found makes of each input, and what numpy makes of that."""
        return [self._reference_output(row) for row in self._encode(inputs, max_tokens)]

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
        self.source.tokenizer.save(str(folder / TOKENIZER))

    def _encode(self, inputs: Sequence[Any], max_tokens: int) -> list[Arrays]:
        """Texts or pairs to ids and token types."""
        tokenizer = Tokenizer.from_str(self.source.tokenizer.to_str())
        tokenizer.enable_truncation(max_tokens, strategy="longest_first")
        return [
            {
                "input_ids": np.asarray(encoding.ids, np.int64),
                TYPE_IDS: np.asarray(encoding.type_ids, np.int64),
            }
            for encoding in tokenizer.encode_batch(list(inputs))
        ]

    def _reference_output(self, row: Arrays) -> Array:
        source = self.source
        arrays = dict(row)
        if self.kind == "multivector":
            arrays = {**token_arrays(row["input_ids"], source.interaction)}
            arrays[TYPE_IDS] = np.zeros_like(arrays["input_ids"])
        arrays.setdefault("attention_mask", np.ones_like(arrays["input_ids"]))
        feeds = {name: arrays[name][None] for name in source.graph.inputs}
        output = np.asarray(self.session.run([source.graph.output], feeds)[0][0], np.float32)
        if source.pooling == "tokens":
            output = output[arrays[KEEP_INPUT] > 0]
        elif source.pooling in ONNX_POOLING:
            output = ONNX_POOLING[source.pooling].reference(output)
        if source.normalised:
            output = output / np.linalg.norm(output, axis=-1, keepdims=True)
        return output


def load(checkpoint: Checkpoint, options: ExportOptions) -> LoadedCheckpoint:
    """Read the graph. Raises CheckpointUnsupported where it does not take texts or pairs."""
    source = _read_folder(checkpoint.folder, options)
    precision = source.graph.precision
    if options.precision not in ("fp32", precision):
        raise EncoderError(
            f"the graph is ready in {precision}, and its precision stays what it is",
            value=options.precision,
            next_step="Omit --precision, or export the checkpoint that the graph was made from.",
        )
    return LoadedCheckpoint(
        kind=source.kind,
        dim=source.graph.width,
        normalised=source.normalised,
        towers={"text": ReadyTower(source)},
        precision=precision,
        prompts=_prompts(source, options.overrides),
    )


def _read_folder(folder: Path, options: ExportOptions) -> ReadyGraph:
    files = CheckpointFiles(_folder_with("config.json", folder))
    markers = read_markers(files, options.overrides)
    graph = read_graph(_graph_path(folder))
    pooling = _pooling(graph, files, options.overrides.pooling, markers)
    tokenizer = _tokenizer(_folder_with(TOKENIZER, folder))
    late = markers if pooling == "tokens" else None
    max_tokens = _max_tokens(files, tokenizer, late, options.max_tokens)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    mask = next((id_ for word in _MASKS if (id_ := tokenizer.token_to_id(word)) is not None), None)
    return ReadyGraph(
        graph,
        files,
        pooling,
        normalised=pooling == "tokens" or (pooling != "logit" and _normalised(files, graph)),
        tokenizer=tokenizer,
        max_tokens=max_tokens,
        markers=late,
        interaction=None if late is None else interaction_of(late, tokenizer, mask, max_tokens),
    )


def _graph_path(folder: Path) -> Path:
    return next(folder / name for name in GRAPHS if (folder / name).is_file())


def _folder_with(name: str, folder: Path) -> Path:
    """The folder that has this file: the graph's own, or the one that holds it (``onnx/`` on the hub)."""
    return folder if (folder / name).is_file() or not (folder.parent / name).is_file() else folder.parent


def _tokenizer(folder: Path) -> Tokenizer:
    path = folder / TOKENIZER
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointUnsupported(
            "the graph's tokenizer cannot be read",
            value=str(error),
            next_step=f"Put its {TOKENIZER} beside the graph, or into the folder above.",
        ) from error


def _pooling(graph: OnnxGraph, files: CheckpointFiles, requested: str | None, markers: Markers | None) -> str:
    """What is made of the graph's output. Raises CheckpointUnsupported where nothing says it."""
    if not graph.gives_tokens:
        return "logit" if graph.gives_score else "graph"
    pooling = requested or stated_pooling(files) or ("tokens" if markers is not None else None)
    if pooling in ONNX_POOLING or pooling == "tokens":
        return str(pooling)
    raise CheckpointUnsupported(
        f"the graph gives one vector per token ({graph.output}), and "
        + ("nothing says how to pool them" if pooling is None else "they cannot be pooled this way"),
        value=pooling or files.folder.name,
        next_step=f"Add --pooling {', '.join(ONNX_POOLING)} (as its model card says), "
        "or --pooling tokens for late interaction.",
    )


def _normalised(files: CheckpointFiles, graph: OnnxGraph) -> bool:
    """Whether vectors have length 1: as modules.json says; of a sentence's ready vector, as it is."""
    if not graph.gives_tokens:
        return graph.normalised
    return not files.modules or "Normalize" in files.modules


def _max_tokens(
    files: CheckpointFiles, tokenizer: Tokenizer, markers: Markers | None, requested: int | None
) -> int:
    """The longest text in tokens."""
    positions = files.config.get("max_position_embeddings")
    truncation = tokenizer.truncation
    limits = [
        markers.document_tokens if markers is not None else None,
        files.json("sentence_bert_config.json").get("max_seq_length"),
        files.json("tokenizer_config.json").get("model_max_length"),
        truncation["max_length"] if truncation else None,
    ]
    stated_limit = next(
        (int(limit) for limit in limits if isinstance(limit, (int, float)) and limit < 1 << 24), None
    )
    return max_text_tokens(stated_limit, positions if isinstance(positions, int) else None, requested)


def _prompts(source: ReadyGraph, overrides: Overrides) -> dict[PromptName, str]:
    if source.kind == "reranker":
        return {}
    if source.markers is not None and source.interaction is not None:
        return {"query": source.markers.query, "document": source.markers.document}
    config = source.files.json("config_sentence_transformers.json")
    prompts = named_prompts(config.get("prompts") or {}, config.get("default_prompt_name"))
    overridden: dict[PromptName, str | None] = {
        "query": overrides.query_prompt,
        "document": overrides.document_prompt,
    }
    return {**prompts, **{name: text for name, text in overridden.items() if text is not None}}
