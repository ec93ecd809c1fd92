"""Exports that are broken on purpose after they were verified, and verified once more."""

from __future__ import annotations

import shutil
import string
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from nestvec_exporters import ExportOptions, export
from nestvec_exporters.architectures import load_checkpoint
from nestvec_exporters.checkpoints.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.graph.tower import LoadedCheckpoint
from nestvec_exporters.verify.encoder import verify_encoder
from nestvec_exporters.verify.exported import Exported
from nestvec_exporters.verify.graph_encoder import open_graphs_of
from nestvec_exporters.verify.references import open_references
from nestvec_schemas.manifest import Manifest, Verification
from nestvec_schemas.repository import GRAPH, MANIFEST, part_folder, read_manifest

NAME = "encoder"


@dataclass(frozen=True)
class TinyExport:
    """An exported checkpoint, which can be broken."""

    models: Path
    options: ExportOptions
    checkpoint: Checkpoint
    loaded: LoadedCheckpoint

    @property
    def folder(self) -> Path:
        """Of the encoder."""
        return self.models / NAME

    @property
    def manifest(self) -> Manifest:
        """As it is written now."""
        return read_manifest(self.folder)

    def graph(self, part: str = "") -> Path:
        """The graph of a part."""
        return part_folder(self.folder, part) / GRAPH

    def copy(self, place: Path) -> TinyExport:
        """The same in another place, to be broken."""
        return replace(self, models=Path(shutil.copytree(self.models, place)))

    def edit_manifest(self, **fields: Any) -> None:
        """Write other values into the manifest, as an export that went wrong would have."""
        manifest = self.manifest.model_copy(update={**fields, "fingerprint": None})
        (self.folder / MANIFEST).write_text(manifest.model_dump_json(), "utf-8")

    def verify(self, options: ExportOptions | None = None, level: Any = "full") -> Verification:
        """Compare it with the library, which is opened with ``options`` if they are not the export's."""
        references = open_references(self.checkpoint, self.loaded, options or self.options)
        exported = Exported(self.folder, self.manifest)
        return verify_encoder(exported, references, open_graphs_of(self.loaded), level)


ExportTiny = Callable[..., TinyExport]
WriteTiny = Callable[..., Path]

_SIZES = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}


@pytest.fixture(scope="session")
def write_tiny(tmp_path_factory: pytest.TempPathFactory) -> WriteTiny:
    """Writes a text model with random weights: ``kind`` and ``head`` make the class of transformers."""

    def write(kind: str, head: str = "Model", *, types: bool = True, **fields: Any) -> Path:
        folder = tmp_path_factory.mktemp("checkpoints") / kind.lower()
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**{**_SIZES, **fields})
        getattr(transformers, f"{kind}{head}")(config).save_pretrained(folder)
        _save_tokenizer(folder, types=types)
        return folder

    return write


def _save_tokenizer(folder: Path, *, types: bool) -> None:
    """A tokenizer that splits words into characters, and marks the second of two texts with ``types``."""
    characters = sorted(set(string.printable) - set(string.whitespace) - set(string.ascii_uppercase))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters, *(f"##{character}" for character in characters)]
    words += ["[MASK]", "[unused0]", "[unused1]"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=1000))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", *(["token_type_ids"] if types else []), "attention_mask"],
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def export_tiny(tmp_path_factory: pytest.TempPathFactory) -> ExportTiny:
    """Exports a checkpoint's folder with options; its graphs were compared quickly."""

    def run(folder: Path, **fields: Any) -> TinyExport:
        models = tmp_path_factory.mktemp("exported") / "models"
        options = ExportOptions(str(folder), models, NAME, verify="quick", **fields)
        export(options)
        checkpoint = read_checkpoint(str(folder))
        return TinyExport(models, options, checkpoint, load_checkpoint(checkpoint, options))

    return run
