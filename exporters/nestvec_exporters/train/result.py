"""The adapted checkpoint: an ordinary sentence-transformers folder, and a record of how it was made."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.checkpoint import ADAPTED
from nestvec_schemas.errors import CheckpointError, EncoderExists

FORMAT: Final = 1
_MADE_WITH = ("nestvec", "torch", "transformers", "sentence-transformers")


Figures = dict[str, dict[int, dict[int, float]]]


def by_number(read: Mapping[str, Mapping[Any, Mapping[Any, float]]]) -> Figures:
    """Figures as JSON gives them back, with numbers for keys again."""
    return {
        way: {
            int(layer): {int(dim): round(one, 4) for dim, one in row.items()} for layer, row in rows.items()
        }
        for way, rows in read.items()
    }


@dataclass(frozen=True)
class Adapted:
    """What a run came to; all but ``finished`` is what the checkpoint's record holds.

    ``before`` and ``after`` are held-out figures named ``figure``: of the checkpoint as it was, cut and
    stopped early as it is, and of the best weights. Each has ``alike`` and ``across``, by exit and dim: of
    queries and documents at one exit, and of queries at that exit against documents at full depth.
    """

    method: str
    checkpoint: str
    data: str
    rows: int
    held_out: int
    dims: tuple[int, ...]
    layers: tuple[int, ...]
    seed: int
    steps: int
    best_step: int
    seconds: float
    figure: str
    before: Figures
    after: Figures
    finished: bool = True

    def record(self) -> dict[str, Any]:
        """The file's content."""
        said = {name: value for name, value in asdict(self).items() if name != "finished"}
        return {"format": FORMAT, **said, "created_with": made_with()}


def made_with() -> dict[str, str]:
    """The versions of what trains."""
    return {name: version(name) for name in _MADE_WITH}


def check_target(to: Path, *, force: bool) -> None:
    """Raise EncoderExists unless a new folder may be made there, or an adapted one replaced."""
    if to.exists() and not (force and (to / ADAPTED).is_file()):
        raise EncoderExists(
            "--force replaces what nestvec adapt made, and this is something else"
            if force
            else "there is something of this name already",
            value=str(to),
            next_step="Choose another --to" + (", or remove it yourself." if force else ", or give --force."),
        )


def work_folder(to: Path) -> Path:
    """Where a run keeps what it goes on from: beside the result, and gone with its end."""
    return to.with_name(f".{to.name}.adapting")


@contextmanager
def writing(to: Path) -> Iterator[None]:
    """Raise CheckpointError where the block cannot write beside ``to``."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            "the adapted checkpoint cannot be written",
            value=f"{error.filename or to} ({error.strerror or error})",
            next_step="Name a folder with --to that you may write to, on a disk with room.",
        ) from error


@contextmanager
def written(to: Path, *, force: bool) -> Iterator[Path]:
    """A folder to write the result in, which becomes ``to`` at the end of the block, by one rename.

    Raises CheckpointError where it cannot be written.
    """
    with writing(to), tempfile.TemporaryDirectory(prefix=".nestvec-adapt-", dir=to.parent) as place:
        new = Path(place) / "new"
        yield new
        check_target(to, force=force)
        if to.exists():
            to.rename(Path(place) / "old")
        new.rename(to)


def write_record(record: Mapping[str, Any], folder: Path) -> None:
    """Write what was done into the checkpoint's folder."""
    (folder / ADAPTED).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
