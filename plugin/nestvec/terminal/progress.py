"""Progress of long jobs on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_SECONDS = 5.0
_LIVE_SECONDS = 0.2

Advance = Callable[[int], None]


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Advance]:
    """Show the progress of ``title``. The block calls the function with the number of units just done."""
    shown = _bar if sys.stderr.isatty() else _lines
    with shown(title, total) as advance:
        yield advance


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
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
    done, reported = 0, -1
    started = last_write = time.monotonic()

    def write() -> None:
        nonlocal reported
        reported = done
        total_text = f" of {total}" if total is not None else ""
        sys.stderr.write(f"{title}: {done}{total_text} in {time.monotonic() - started:.0f} s\n")
        sys.stderr.flush()

    def advance(count: int) -> None:
        nonlocal done, last_write
        done += count
        if time.monotonic() - last_write >= LINE_SECONDS:
            last_write = time.monotonic()
            write()

    yield advance
    if reported != done:
        write()


class Stages:
    """The stages of a job on standard error: the start of each, its progress, and its seconds at the end.

    On a terminal, the progress is updated in place; elsewhere, it is a line from time to time.
    """

    def __init__(self, indent: str = "") -> None:
        self._indent, self._live = indent, sys.stderr.isatty()
        self._name = ""
        self._began = self._said = time.monotonic()
        self._shown = 0

    def stage(self, name: str) -> None:
        """Begin a stage, and end the one before."""
        self.end()
        self._name, self._began, self._said = name, time.monotonic(), time.monotonic()
        self._write(f"{self._indent}{name} …")

    def step(self, done: int, total: int) -> None:
        """Show how many of the stage's units are done."""
        now = time.monotonic()
        if now - self._said < (_LIVE_SECONDS if self._live else LINE_SECONDS) and done < total:
            return
        self._said = now
        position = f" {done} of {total}"
        if self._live:
            self._write("\b" * self._shown + position)
            self._shown = len(position)
        elif now - self._began >= LINE_SECONDS:
            self._write(f"\n{self._indent}  {self._name}:{position} in {now - self._began:.0f} s")

    def end(self) -> None:
        """End the current stage, if there is one."""
        if self._name:
            self._write(f" {time.monotonic() - self._began:.1f} s\n")
        self._name, self._shown = "", 0

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


@contextmanager
def stages(indent: str = "") -> Iterator[Stages]:
    """Show the stages of a job, which the block reports."""
    shown = Stages(indent)
    try:
        yield shown
    finally:
        shown.end()
