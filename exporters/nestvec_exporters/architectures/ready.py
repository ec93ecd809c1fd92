"""Ready graphs: a folder with an ONNX graph and a tokenizer becomes an encoder, without torch.

What the graph gives is told by its output's name and shape and by the checkpoint's small files. Verification
runs the graph as it was given, one input at a time, and pools in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from tokenizers import Tokenizer

from nestvec_exporters.checkpoints.checkpoint import Checkpoint
from nestvec_exporters.checkpoints.files import GRAPHS, CheckpointFiles
from nestvec_exporters.checkpoints.interaction_config import Markers, interaction_of, read_markers
from nestvec_exporters.checkpoints.max_length import limited
from nestvec_exporters.checkpoints.prompts import named_prompts
from nestvec_exporters.checkpoints.score_activation import activation_of
from nestvec_exporters.graph import onnx_graph
from nestvec_exporters.graph.onnx_graph import Given
from nestvec_exporters.graph.save import save_graph
from nestvec_exporters.graph.tower import Half, Loaded
from nestvec_exporters.graph.triton import INPUTS, OUTPUT
from nestvec_exporters.options import ExportOptions, Overrides
from nestvec_exporters.probes.pairs import TYPES, pair_rows, pairs
from nestvec_exporters.probes.texts import probe_texts
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError
from nestvec_schemas.late_interaction import KEEP, Interaction, token_arrays
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.preprocessing.collate import Array, Arrays
from nestvec_schemas.repository import TOKENIZER
from nestvec_schemas.towers import Kind, Tower

_KINDS: dict[str, Kind] = {"logit": "reranker", "tokens": "multivector"}
"""Of what is made of the output; all else is a vector an input."""

_MASKS: Final = ("[MASK]", "<mask>")


@dataclass(frozen=True)
class Ready:
    """A folder's graph, what is made of its output, and the tokenizer as the service will have it."""

    graph: Given
    small: CheckpointFiles
    pooling: str
    unit: bool
    tokenizer: Tokenizer
    max_tokens: int
    markers: Markers | None = None
    interaction: Interaction | None = None

    @property
    def kind(self) -> Kind:
        return _KINDS.get(self.pooling, "dense")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Of the graph as it is written."""
        if self.kind == "multivector":
            return (*INPUTS, KEEP)
        return (*INPUTS, TYPES) if self.kind == "reranker" and TYPES in self.graph.inputs else INPUTS

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The graph as it was given."""
        return self.graph.session()


def load(checkpoint: Checkpoint, options: ExportOptions) -> Loaded:
    """Read the graph. Raises CheckpointUnsupported where it is none that texts or pairs go into."""
    ready = _ready(checkpoint.folder, options)
    kind, precision = ready.kind, ready.graph.precision
    if options.precision not in ("fp32", precision):
        raise EncoderError(
            f"the graph is ready in {precision}, and its precision stays what it is",
            value=options.precision,
            next_step="Leave --precision away, or export the checkpoint that the graph was made from.",
        )
    tower = Tower(
        inputs=ready.inputs,
        output=OUTPUT,
        pooling=ready.pooling,
        max_tokens=ready.max_tokens,
        interaction=ready.interaction,
        activation=activation_of(ready.small) if kind == "reranker" else None,
        alone=ready.graph.batched and kind != "dense",
    )
    half = Half(
        tower=tower,
        build=None,
        graph=lambda path: save_graph(_written(ready), path),
        example=dict.fromkeys(ready.inputs, np.ones((2, 16), np.int64)),
        axes={name: {1: "tokens"} for name in (*ready.inputs, OUTPUT)},
        rows=pair_rows if kind == "reranker" else lambda folder, texts, most: _rows(ready, texts, most),
        reference=lambda inputs, most: [_reference(ready, row) for row in _read(ready, inputs, most)],
        probes=lambda: _probes(ready),
        save=lambda folder: ready.tokenizer.save(str(folder / TOKENIZER)),
    )
    return Loaded(
        kind=kind,
        dim=ready.graph.width,
        normalised=ready.unit,
        halves={"text": half},
        precision=precision,
        prompts=_prompts(ready, options.overrides),
    )


def _ready(folder: Path, options: ExportOptions) -> Ready:
    small = CheckpointFiles(_with("config.json", folder))
    markers = read_markers(small, options.overrides)
    graph = onnx_graph.read(_graph(folder))
    pooling = _pooling(graph, small, options.overrides.pooling, markers)
    tokenizer = _tokenizer(_with(TOKENIZER, folder))
    late = markers if pooling == "tokens" else None
    most = _most(small, tokenizer, late, options.max_tokens)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    unit = pooling == "tokens" or (pooling != "logit" and _normalised(small, graph))
    mask = next((id_ for word in _MASKS if (id_ := tokenizer.token_to_id(word)) is not None), None)
    interaction = None if late is None else interaction_of(late, tokenizer, mask, most)
    return Ready(graph, small, pooling, unit, tokenizer, most, late, interaction)


def _graph(folder: Path) -> Path:
    return next(folder / name for name in GRAPHS if (folder / name).is_file())


def _with(name: str, folder: Path) -> Path:
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


def _pooling(graph: Given, small: CheckpointFiles, asked: str | None, markers: Markers | None) -> str:
    """What is made of the graph's output. Raises CheckpointUnsupported where nothing says it."""
    if not graph.tokens:
        return "logit" if graph.score else "graph"
    stated = asked or onnx_graph.stated_pooling(small) or ("tokens" if markers is not None else None)
    if stated in onnx_graph.POOLED or stated == "tokens":
        return str(stated)
    raise CheckpointUnsupported(
        f"the graph gives a vector a token ({graph.output}), and "
        + ("nothing says how they become one" if stated is None else "they cannot be pooled this way"),
        value=stated or small.folder.name,
        next_step=f"Add --pooling {', '.join(onnx_graph.POOLED)} (as its model card says), "
        "or --pooling tokens for late interaction.",
    )


def _normalised(small: CheckpointFiles, graph: Given) -> bool:
    """Whether vectors have length 1: as modules.json says; of a sentence's ready vector, as it is."""
    if not graph.tokens:
        return graph.unit
    return not small.modules or "Normalize" in small.modules


def _most(small: CheckpointFiles, tokenizer: Tokenizer, markers: Markers | None, asked: int | None) -> int:
    """The longest text in tokens."""
    positions = small.config.get("max_position_embeddings")
    cut = tokenizer.truncation
    stated = [
        markers.document_tokens if markers is not None else None,
        small.json("sentence_bert_config.json").get("max_seq_length"),
        small.json("tokenizer_config.json").get("model_max_length"),
        cut["max_length"] if cut else None,
    ]
    found = next((int(one) for one in stated if isinstance(one, (int, float)) and one < 1 << 24), None)
    return limited(found, positions if isinstance(positions, int) else None, asked)


def _prompts(ready: Ready, overrides: Overrides) -> dict[PromptName, str]:
    if ready.kind == "reranker":
        return {}
    if ready.markers is not None and ready.interaction is not None:
        return {"query": ready.markers.query, "document": ready.markers.document}
    told = ready.small.json("config_sentence_transformers.json")
    found = named_prompts(told.get("prompts") or {}, told.get("default_prompt_name"))
    asked: dict[PromptName, str | None] = {
        "query": overrides.query_prompt,
        "document": overrides.document_prompt,
    }
    return {**found, **{name: text for name, text in asked.items() if text is not None}}


def _written(ready: Ready) -> onnx.ModelProto:
    """The graph with what is made of its output, under the names that the service knows."""
    model = onnx.load(str(ready.graph.path))
    onnx_graph.finish(model, ready.graph, ready.pooling, ready.inputs, unit=ready.unit)
    return model


def _probes(ready: Ready) -> Sequence[Any]:
    if ready.kind == "reranker":
        return pairs()
    texts, markers = probe_texts(), ready.markers
    if markers is None or ready.interaction is None:
        return texts
    return [f"{markers.document if at % 2 else markers.query}{text}" for at, text in enumerate(texts)]


def _read(ready: Ready, inputs: Sequence[Any], most: int) -> list[Arrays]:
    """Texts or pairs to arrays, by the tokenizer in memory."""
    tokenizer = Tokenizer.from_str(ready.tokenizer.to_str())
    tokenizer.enable_truncation(most, strategy="longest_first")
    return [
        {"input_ids": np.asarray(one.ids, np.int64), TYPES: np.asarray(one.type_ids, np.int64)}
        for one in tokenizer.encode_batch(list(inputs))
    ]


def _rows(ready: Ready, texts: Sequence[str], most: int) -> list[Arrays]:
    found = [row["input_ids"] for row in _read(ready, texts, most)]
    if ready.kind != "multivector":
        return [{"input_ids": ids} for ids in found]
    return [token_arrays(ids, ready.interaction) for ids in found]


def _reference(ready: Ready, row: Arrays) -> Array:
    """What the graph as it was given makes of one input, and what numpy makes of that."""
    arrays = dict(row)
    if ready.kind == "multivector":
        arrays = {**token_arrays(row["input_ids"], ready.interaction)}
        arrays[TYPES] = np.zeros_like(arrays["input_ids"])
    arrays.setdefault("attention_mask", np.ones_like(arrays["input_ids"]))
    feeds = {name: arrays[name][None] for name in ready.graph.inputs}
    found = np.asarray(ready.session.run([ready.graph.output], feeds)[0][0], np.float32)
    if ready.pooling == "tokens":
        found = found[arrays[KEEP] > 0]
    elif ready.pooling in onnx_graph.POOLED:
        found = onnx_graph.POOLED[ready.pooling].reference(found)
    if ready.unit:
        found = found / np.linalg.norm(found, axis=-1, keepdims=True)
    return found
