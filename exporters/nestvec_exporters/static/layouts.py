"""Which file reads which layout of a table: the first row that fits."""

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
    """A row: what ``fits`` is read by ``read``, which gets the pooling that was asked for, or None."""

    matches: Callable[[CheckpointFiles], bool]
    read: Callable[[Path, str | None], EmbeddingTable]


def _with_own_pooling(read: Callable[[Path], EmbeddingTable]) -> Callable[[Path, str | None], EmbeddingTable]:
    """A layout that says itself what its tokens weigh."""

    def run(path: Path, pooling: str | None) -> EmbeddingTable:
        if pooling not in (None, "mean"):
            raise EncoderError(
                "a static encoder with a tokenizer of its own is pooled by the mean",
                value=pooling,
                next_step="Leave --pooling away.",
            )
        return read(path)

    return run


TABLE_FORMATS: Final = (
    TableFormat(
        lambda small: small.folder.is_file(),
        lambda path, how: word_table(WORD_VECTOR_READERS[path.suffix](path), how),
    ),
    TableFormat(lambda small: small.model_type == "model2vec", _with_own_pooling(read_model2vec)),
    TableFormat(lambda small: bool(small.modules), _with_own_pooling(read_static_embedding)),
    TableFormat(lambda small: small.some("*.npy"), lambda path, how: word_table(read_packed(path), how)),
    TableFormat(lambda small: small.some("weights/*.safetensors"), _with_own_pooling(read_wordllama)),
)


def read_embedding_table(path: Path, pooling: str | None = None) -> EmbeddingTable:
    """The table in a file or folder. Raises CheckpointUnsupported, and EncoderError for another pooling."""
    small = CheckpointFiles(path)
    table_format = next((candidate for candidate in TABLE_FORMATS if candidate.matches(small)), None)
    if table_format is None:
        raise CheckpointUnsupported(
            "this is no static encoder that is known", value=path.name, next_step="Give its folder or file."
        )
    table = table_format.read(path, pooling)
    table.check(path.name)
    return table
