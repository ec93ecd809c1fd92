"""Where a checkpoint of two towers keeps its model: in transformers' layout, or in sentence-transformers'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import first_folder
from nestvec_schemas.errors import CheckpointUnsupported

DUAL_MODULES: Final = (("CLIPModel",), ("Transformer",))
"""The first module of a checkpoint of two towers; CLIPModel is what older versions of the library save."""

_FOLLOWED_BY: Final = ((), ("Normalize",))
_SETTINGS: Final = "sentence_bert_config.json"


@dataclass(frozen=True)
class DualLayout:
    """A checkpoint of two towers on disk."""

    home: Path
    """The folder of its model, tokenizer and image processor."""

    normalised: bool = True
    """Whether its vectors have length 1. transformers gives them as they are, to be compared by their cosine;
    sentence-transformers too, unless a Normalize module follows."""

    max_tokens: int | None = None
    """The longest text, where the layout limits it."""

    library: bool = False
    """Whether sentence-transformers runs it."""

    pads_to: int | None = None
    """The tokens that sentence-transformers pads every text to; None for the longest of a batch."""


def read_dual_layout(folder: Path) -> DualLayout:
    """Raises CheckpointUnsupported for modules that no vector of an image and a text passes."""
    files = CheckpointFiles(folder)
    if not files.modules:
        return DualLayout(folder)
    if files.modules[:1] not in DUAL_MODULES or files.modules[1:] not in _FOLLOWED_BY:
        raise CheckpointUnsupported(
            "the checkpoint's modules are not a model of images and texts, with or without Normalize",
            value=", ".join(files.modules),
            next_step="Choose a checkpoint such as sentence-transformers/clip-ViT-B-32.",
        )
    home = first_folder(folder)
    settings = CheckpointFiles(home).json(_SETTINGS)
    longest = settings.get("max_seq_length")
    return DualLayout(
        home,
        normalised="Normalize" in files.modules,
        max_tokens=longest if isinstance(longest, int) else None,
        library=True,
        pads_to=_pads_to(home, settings),
    )


def check_text_padding(layout: DualLayout, length: int, class_name: str) -> None:
    """Raise CheckpointUnsupported unless sentence-transformers pads every text to ``length`` tokens, for a
    model that reads padding like words."""
    if layout.library and layout.pads_to != length:
        raise CheckpointUnsupported(
            f"{class_name} reads padding, and sentence-transformers pads its texts to "
            + ("the longest of each batch" if layout.pads_to is None else "another length"),
            value=f"{layout.pads_to or 'no length'} in {_SETTINGS}, not {length} tokens",
            next_step=f"Set processing_kwargs in {_SETTINGS} to "
            f'{{"text": {{"padding": "max_length", "max_length": {length}}}}}, '
            "or export the checkpoint in transformers' layout, without modules.json.",
        )


def _pads_to(home: Path, settings: Mapping[str, Any]) -> int | None:
    text = (settings.get("processing_kwargs") or {}).get("text") or {}
    if text.get("padding") != "max_length":
        return None
    tokenizer = CheckpointFiles(home).json("tokenizer_config.json")
    length = text.get("max_length") or settings.get("max_seq_length") or tokenizer.get("model_max_length")
    return length if isinstance(length, int) else None
