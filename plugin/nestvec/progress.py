"""Progress of long work: a bar on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_SECONDS = 5.0

Advance = Callable[[int], None]


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Advance]:
    """Show how far ``title`` is. The block calls what it gets with the number of units just done."""
    shown = _bar if sys.stderr.isatty() else _lines
    with shown(title, total) as advance:
        yield advance


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Advance]:
    from rich.console import Console  # noqa: PLC0415 - a terminal only
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def _lines(title: str, total: int | None) -> Iterator[Advance]:
    done, told = 0, -1
    started = said = time.monotonic()

    def say() -> None:
        nonlocal told
        told = done
        of = f" of {total}" if total is not None else ""
        sys.stderr.write(f"{title}: {done}{of} in {time.monotonic() - started:.0f} s\n")
        sys.stderr.flush()

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if time.monotonic() - said >= LINE_SECONDS:
            said = time.monotonic()
            say()

    yield advance
    if told != done:
        say()


@contextmanager
def stages(indent: str = "") -> Iterator[Callable[[str], None]]:
    """Show each stage of a job as it begins, and its seconds as it ends. The block calls what it gets."""
    began: float | None = None

    def end() -> None:
        if began is not None:
            sys.stderr.write(f" {time.monotonic() - began:.1f} s\n")
            sys.stderr.flush()

    def begin(stage: str) -> None:
        nonlocal began
        end()
        began = time.monotonic()
        sys.stderr.write(f"{indent}{stage} …")
        sys.stderr.flush()

    try:
        yield begin
    finally:
        end()
