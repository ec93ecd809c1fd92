"""What a training run came to: the adapted checkpoint, and a record of how it was made."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from nestvec_exporters.checkpoints.checkpoint import TRAINING_RECORD
from nestvec_schemas.errors import CheckpointError, EncoderExists

RECORD_FORMAT: Final = 1
_RECORDED_PACKAGES = ("nestvec", "torch", "transformers", "sentence-transformers")

FiguresT = TypeVar("FiguresT")

ON_OLD: Final = "on_old"
"""The name of the figures of new queries among old vectors, beside those of exits."""

ExitFigures = dict[str, dict[int, dict[int, float]]]
"""``alike`` and ``across``, then by exit and dim: queries and documents at the same exit, and queries at that
exit against documents at full depth. Of a compatible result also ``on_old``: queries against the documents'
stored vectors, before training those of the old encoder itself."""


@dataclass(frozen=True)
class DataSummary:
    """What a run was trained on."""

    name: str
    """The data's origin."""

    rows: int
    """Rows that were trained on."""

    held_out: int
    """Rows that the figures are of."""


@dataclass(frozen=True)
class TrainingProgress:
    """How far a run came."""

    steps: int
    best_step: int
    """The step whose weights were kept."""

    seconds: float
    """Seconds spent training."""

    finished: bool
    """Whether it reached its end; the only field that the record omits."""


@dataclass(frozen=True)
class Comparison(Generic[FiguresT]):
    """Held-out figures before and after training."""

    figure: str
    """What the figures are, such as ``mrr@10``."""

    before: FiguresT
    """Of the checkpoint as it was, its vectors truncated and its exits taken as they are."""

    after: FiguresT
    """Of the best weights."""


@dataclass(frozen=True)
class CompatibleWith:
    """An encoder whose stored vectors the result searches."""

    name: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class TrainingResult(Generic[FiguresT]):
    """What a run came to; all but whether it finished is in the checkpoint's record."""

    method: str
    checkpoint: str
    data: DataSummary
    dims: tuple[int, ...]
    seed: int
    progress: TrainingProgress
    comparison: Comparison[FiguresT]

    def record(self) -> dict[str, Any]:
        """The content of the record."""
        fields = asdict(self)
        data, progress, comparison = (fields.pop(name) for name in ("data", "progress", "comparison"))
        progress.pop("finished")
        summary = {"data": data.pop("name"), **data}
        versions = {name: version(name) for name in _RECORDED_PACKAGES}
        return {
            "format": RECORD_FORMAT,
            **fields,
            **summary,
            **progress,
            **comparison,
            "created_with": versions,
        }


@dataclass(frozen=True, kw_only=True)
class Adapted(TrainingResult[ExitFigures]):
    """What training on texts came to."""

    layers: tuple[int, ...]
    """The exits, deepest first."""

    compatible_with: CompatibleWith | None = None
    """The encoder whose stored vectors the result searches."""


def with_int_keys(figures: Any) -> Any:
    """Nested figures read from JSON, with integers as keys again, rounded to four digits."""
    if isinstance(figures, Mapping):
        return {
            int(key) if str(key).isdecimal() else key: with_int_keys(value) for key, value in figures.items()
        }
    return round(figures, 4)


def check_output(folder: Path, *, force: bool) -> None:
    """Raise EncoderExists unless a new folder can be made there, or an adapted one replaced."""
    if folder.exists() and not (force and (folder / TRAINING_RECORD).is_file()):
        raise EncoderExists(
            "--force replaces only a checkpoint that nestvec adapt made"
            if force
            else "a file or folder of this name already exists",
            value=str(folder),
            next_step="Choose another --to" + (", or remove it yourself." if force else ", or give --force."),
        )


def run_folder(output: Path) -> Path:
    """Where a run keeps its state: beside the result, and removed when it ends."""
    return output.with_name(f".{output.name}.adapting")


@contextmanager
def reporting_write_errors(output: Path) -> Iterator[None]:
    """Raise CheckpointError if the block cannot write beside ``output``."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            "the adapted checkpoint cannot be written",
            value=f"{error.filename or output} ({error.strerror or error})",
            next_step="Give --to a folder that you may write to, on a disk with room.",
        ) from error


@contextmanager
def writing_checkpoint(output: Path, *, force: bool) -> Iterator[Path]:
    """A folder to write the result to, which becomes ``output`` at the end of the block by one rename.

    Raises CheckpointError if it cannot be written.
    """
    with (
        reporting_write_errors(output),
        tempfile.TemporaryDirectory(prefix=".nestvec-adapt-", dir=output.parent) as temporary,
    ):
        new = Path(temporary) / "new"
        yield new
        check_output(output, force=force)
        if output.exists():
            output.rename(Path(temporary) / "old")
        new.rename(output)


def write_record(record: Mapping[str, Any], folder: Path) -> None:
    """Write the record to the checkpoint's folder."""
    (folder / TRAINING_RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
