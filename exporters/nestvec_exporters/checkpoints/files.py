"""A checkpoint's small files, which identify it before anything large is read. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.layout import read_json

WEIGHTS: Final = ("*.safetensors",)

GRAPHS: Final = (
    "model.onnx",
    "onnx/model.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
)
"""Where a checkpoint's ONNX graph can be, likeliest first."""

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

    def has(self, *names: str) -> bool:
        """Whether one of these files exists."""
        return any((self.folder / name).is_file() for name in names)

    def matches(self, pattern: str) -> bool:
        """Whether a file's path matches a glob pattern."""
        return any(self.folder.glob(pattern))
