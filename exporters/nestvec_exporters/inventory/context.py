"""What the judgement of a declaration depends on besides its value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.kinds import CUSTOM, LATE_INTERACTION, M3, SENTENCE
from nestvec_exporters.checkpoints.layout import first_folder
from nestvec_exporters.checkpoints.prompts import CONFIG as PROMPTS_FILE
from nestvec_exporters.options import ExportOptions

LOADED_BY_SENTENCE_TRANSFORMERS: Final = frozenset(
    {SENTENCE, LATE_INTERACTION, CUSTOM, M3, "router", "decoder", "sparse", "cross"}
)
"""Kinds whose modules sentence-transformers loads, with the settings that it reads."""

WITHOUT_TRANSFORMERS: Final = frozenset({"static", "ready"})
"""Kinds that are exported without transformers."""

_WITH_CLASSIFIER: Final = frozenset({"cross"})


@dataclass(frozen=True)
class InventoryContext:
    """A checkpoint, read as a kind, for an export."""

    files: CheckpointFiles
    kind: str
    options: ExportOptions

    @property
    def folder(self) -> Path:
        return self.files.folder

    @property
    def has_modules(self) -> bool:
        """Whether it has sentence-transformers' layout."""
        return self.files.has("modules.json")

    @property
    def library_loads(self) -> bool:
        """Whether sentence-transformers loads its modules."""
        return self.kind in LOADED_BY_SENTENCE_TRANSFORMERS

    @property
    def late(self) -> bool:
        """Whether it gives a vector per token."""
        return self.kind == LATE_INTERACTION

    @property
    def has_classifier(self) -> bool:
        """Whether the classification head is what it gives."""
        return self.kind in _WITH_CLASSIFIER

    @property
    def prompted(self) -> bool:
        """Whether it declares a prompt that is not empty."""
        prompts = self.files.json(PROMPTS_FILE).get("prompts")
        return isinstance(prompts, dict) and any(prompts.values())

    @property
    def cuts_beginnings(self) -> bool:
        """Whether its tokenizer keeps the end of a long text."""
        tokenizer = CheckpointFiles(first_folder(self.folder)).json("tokenizer_config.json")
        return tokenizer.get("truncation_side") == "left"
