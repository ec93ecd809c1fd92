"""A checkpoint's small files, which identify it before anything large is read. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.layout import first_folder, read_json
from nestvec_schemas.errors import CheckpointUnsupported, nearest

WEIGHTS: Final = ("*.safetensors",)

GRAPHS: Final = (
    "model.onnx",
    "onnx/model.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
)
"""Where a checkpoint's ONNX graph is taken from without being named, likeliest first."""

_GRAPH_PATTERNS: Final = ("*.onnx", "*/*.onnx", "*/*/*.onnx")
_MAX_GRAPHS: Final = 1_000

SENTENCE_CONFIGS: Final = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
"""Where sentence-transformers keeps a transformer module's own settings, by version and architecture."""

WORD_FILES: Final = (".txt", ".vec", ".bin")
"""The suffixes of files of word vectors, which are checkpoints by themselves."""

_TEXT_FILES: Final = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "modules.json",
    "text_renderer_config.json",
)


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint's small files."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its ``config.json``; empty if there is none."""
        return self.json("config.json")

    def json(self, name: str) -> dict[str, Any]:
        """The JSON object in a file; empty if there is none."""
        path = self.folder / name
        content = read_json(path) if path.is_file() else {}
        return content if isinstance(content, dict) else {}

    @cached_property
    def transformer(self) -> dict[str, Any]:
        """The ``config.json`` of sentence-transformers' first module, otherwise the checkpoint's own."""
        path = self.folder / "modules.json"
        rows = read_json(path) if path.is_file() else []
        first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
        folder = str(first.get("path") or ".")
        return self.json(f"{folder}/config.json")

    @cached_property
    def model_type(self) -> str:
        return str(self.config.get("model_type", ""))

    @cached_property
    def head(self) -> str:
        """The saved class, such as ``BertForMaskedLM``."""
        named = self.config.get("architectures")
        return str(named[0]) if isinstance(named, list) and named else ""

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """The class names in sentence-transformers' ``modules.json``."""
        path = self.folder / "modules.json"
        rows = read_json(path) if path.is_file() else []
        rows = rows if isinstance(rows, list) else []
        return tuple(str(row.get("type", "")).rpartition(".")[2] for row in rows if isinstance(row, dict))

    @property
    def takes_images(self) -> bool:
        """Whether it has an image preprocessing's configuration."""
        return (
            self.has("preprocessor_config.json", "processor_config.json") or "pretrained_cfg" in self.config
        )

    @property
    def takes_text(self) -> bool:
        """Whether it has a tokenizer, or another way to take text."""
        return self.has(*_TEXT_FILES)

    @property
    def graphs(self) -> tuple[str, ...]:
        """Its ONNX files."""
        files = (path for pattern in _GRAPH_PATTERNS for path in self.folder.glob(pattern) if path.is_file())
        return tuple(sorted(path.relative_to(self.folder).as_posix() for path in islice(files, _MAX_GRAPHS)))

    @property
    def has_weights(self) -> bool:
        """Whether it has safetensors of its model: in its folder, or that of sentence-transformers' first
        module."""
        return self.matches(WEIGHTS[0]) or any(first_folder(self.folder).glob(WEIGHTS[0]))

    def has(self, *names: str) -> bool:
        """Whether one of these files exists."""
        return any((self.folder / name).is_file() for name in names)

    def matches(self, pattern: str) -> bool:
        """Whether a file's path matches a glob pattern."""
        return any(self.folder.glob(pattern))


def default_graph(files: CheckpointFiles) -> str:
    """The graph of a folder where none is named. Raises CheckpointUnsupported."""
    return choose_graph(files.graphs, None)


def choose_graph(graphs: Sequence[str], requested: str | None) -> str:
    """Which of a checkpoint's ONNX files is taken. Raises CheckpointUnsupported where that is not clear."""
    available = f"Available: {', '.join(graphs)}." if graphs else "It has none."
    if requested is not None:
        if requested in graphs:
            return requested
        raise CheckpointUnsupported(
            "the checkpoint has no such ONNX graph",
            value=requested,
            next_step=f"{available}{nearest(requested, graphs)}",
        )
    # Of a graph and its quantised copy the former is the checkpoint; of two in different folders, neither.
    full_graphs = [graph for graph in graphs if graph in GRAPHS[:2]]
    for name in GRAPHS if len(full_graphs) < 2 else ():
        named = [graph for graph in graphs if graph == name or graph.endswith(f"/{name}")]
        if name in named or len(named) == 1:
            return name if name in named else named[0]
    if len(graphs) == 1:
        return graphs[0]
    raise CheckpointUnsupported(
        "the checkpoint has no ONNX graph" if not graphs else "the checkpoint has several ONNX graphs",
        value=", ".join(graphs[:8]) or "no *.onnx",
        next_step="Choose one with --onnx-file." if graphs else "Export its weights: --from weights.",
    )
