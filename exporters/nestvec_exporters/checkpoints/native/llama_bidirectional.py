"""NVIDIA's LlamaBidirectionalModel (llama-nemotron-embed): transformers' Llama without its causal mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.native.rewrite import write_configuration

MODEL_TYPE: Final = "llama_bidirec"
_CLASSES: Final = ("LlamaBidirectionalModel",)
_DROPPED: Final = ("auto_map", "pooling", "temperature", "model_type", "architectures")
"""``pooling`` is what NVIDIA's own training does after the model; ``modules.json`` declares it."""


def is_llama_bidirectional(folder: Path) -> bool:
    """Whether a checkpoint in sentence-transformers' layout is of this class."""
    files = CheckpointFiles(folder)
    return files.model_type == MODEL_TYPE and files.head in _CLASSES and files.has("modules.json")


def write_llama_bidirectional(folder: Path, target: Path) -> None:
    """Write the checkpoint for transformers' Llama."""
    write_configuration(folder, target, _native)


def _native(config: dict[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in config.items() if name not in _DROPPED}
    causal = {"is_causal": config.get("is_causal", False)}
    return {**fields, "model_type": "llama", "architectures": ["LlamaModel"], **causal}
