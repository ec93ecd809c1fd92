"""A run's folder: a new one, or that of an interrupted run alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from nestvec_exporters.checkpoints.quiet import quiet
from nestvec_exporters.train.result import work_folder, writing
from nestvec_schemas.errors import NestvecError, TrainingFailed

_RUN: Final = "run.json"
_STATES: Final = "state.*"


class Wanted(Protocol):
    """Where a run leads, and whether an interrupted one is demanded or forgotten."""

    @property
    def to(self) -> Path: ...
    @property
    def resume(self) -> bool: ...
    @property
    def force(self) -> bool: ...


def open_run(this: Mapping[str, Any], wanted: Wanted) -> Path:
    """The folder of the run that ``this`` describes, in values as JSON gives them back.

    Raises TrainingFailed where the run to go on with is another one, or demanded and not there.
    """
    work = work_folder(wanted.to)
    if wanted.force and work.exists():
        shutil.rmtree(work)
    path = work / _RUN
    if path.is_file():
        other: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in this if other.get(name) != this[name]]
        if differing:
            name = differing[0]
            raise TrainingFailed(
                f"an interrupted run to {wanted.to} is another one: it differs in {', '.join(differing)}",
                value=f"{name} {other.get(name)}, now {this[name]}",
                next_step="Give what it had to go on with it, or --force to forget it.",
            )
    elif wanted.resume:
        raise TrainingFailed(
            "there is no interrupted run to go on with",
            value=str(work),
            next_step="Leave out --resume, or name the same --to.",
        )
    else:
        with writing(wanted.to):
            work.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(this), encoding="utf-8")
    return work


@contextmanager
def running(work: Path) -> Iterator[None]:
    """Quiet libraries; the folder of a run that fails before there is a state to go on from is removed."""
    try:
        with quiet():
            yield
    except NestvecError:
        if not any(work.glob(_STATES)):
            shutil.rmtree(work)
        raise
