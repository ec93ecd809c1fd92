"""The formats of static encoders, each with its reader; the first match wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.static.table import EmbeddingTable
from nestvec_exporters.static.table_folders import read_model2vec, read_static_embedding, read_wordllama
from nestvec_exporters.static.word_table import word_table
from nestvec_exporters.static.word_vector_files import WORD_VECTOR_READERS, read_packed
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError


@dataclass(frozen=True)
class TableFormat:
    """A format of tables on disk."""

    matches: Callable[[CheckpointFiles], bool]

    read: Callable[[Path, str | None], EmbeddingTable]
    """Reads a file or folder; the second argument is the requested pooling, if any."""


def _with_own_pooling(read: Callable[[Path], EmbeddingTable]) -> Callable[[Path, str | None], EmbeddingTable]:
    """A reader of a format that has token weights of its own, so that only the mean is left to choose."""

    def read_mean(path: Path, pooling: str | None) -> EmbeddingTable:
        if pooling not in (None, "mean"):
            raise EncoderError(
                "a static encoder with its own tokenizer supports mean pooling only",
                value=pooling,
                next_step="Omit --pooling.",
            )
        return read(path)

    return read_mean


TABLE_FORMATS: Final = (
    TableFormat(
        lambda files: files.folder.is_file(),
        lambda path, pooling: word_table(WORD_VECTOR_READERS[path.suffix](path), pooling),
    ),
    TableFormat(lambda files: files.model_type == "model2vec", _with_own_pooling(read_model2vec)),
    TableFormat(lambda files: bool(files.modules), _with_own_pooling(read_static_embedding)),
    TableFormat(
        lambda files: files.matches("*.npy"), lambda path, pooling: word_table(read_packed(path), pooling)
    ),
    TableFormat(lambda files: files.matches("weights/*.safetensors"), _with_own_pooling(read_wordllama)),
)


def read_embedding_table(path: Path, pooling: str | None = None) -> EmbeddingTable:
    """The table in a file or folder. Raises CheckpointUnsupported, and EncoderError for another pooling."""
    files = CheckpointFiles(path)
    table_format = next((candidate for candidate in TABLE_FORMATS if candidate.matches(files)), None)
    if table_format is None:
        raise CheckpointUnsupported(
            "the files are not those of a known static encoder",
            value=path.name,
            next_step="Give the encoder's folder or file.",
        )
    table = table_format.read(path, pooling)
    table.check(path.name)
    return table
