"""Which file reads which layout of a table: the first row that fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.static.table import Table
from nestvec_exporters.static.table_folders import read_model2vec, read_static_embedding, read_wordllama
from nestvec_exporters.static.word_table import table_of
from nestvec_exporters.static.word_vector_files import READERS, read_packed
from nestvec_schemas.errors import CheckpointUnsupported, EncoderError


@dataclass(frozen=True)
class Layout:
    """A row: what ``fits`` is read by ``read``, which gets the pooling that was asked for, or None."""

    fits: Callable[[CheckpointFiles], bool]
    read: Callable[[Path, str | None], Table]


def _own(read: Callable[[Path], Table]) -> Callable[[Path, str | None], Table]:
    """A layout that says itself what its tokens weigh."""

    def run(path: Path, pooling: str | None) -> Table:
        if pooling not in (None, "mean"):
            raise EncoderError(
                "a static encoder with a tokenizer of its own is pooled by the mean",
                value=pooling,
                next_step="Leave --pooling away.",
            )
        return read(path)

    return run


LAYOUTS: Final = (
    Layout(lambda small: small.folder.is_file(), lambda path, how: table_of(READERS[path.suffix](path), how)),
    Layout(lambda small: small.model_type == "model2vec", _own(read_model2vec)),
    Layout(lambda small: bool(small.modules), _own(read_static_embedding)),
    Layout(lambda small: small.some("*.npy"), lambda path, how: table_of(read_packed(path), how)),
    Layout(lambda small: small.some("weights/*.safetensors"), _own(read_wordllama)),
)


def read_table(path: Path, pooling: str | None = None) -> Table:
    """The table in a file or folder. Raises CheckpointUnsupported, and EncoderError for another pooling."""
    small = CheckpointFiles(path)
    row = next((one for one in LAYOUTS if one.fits(small)), None)
    if row is None:
        raise CheckpointUnsupported(
            "this is no static encoder that is known", value=path.name, next_step="Give its folder or file."
        )
    table = row.read(path, pooling)
    table.check(path.name)
    return table
