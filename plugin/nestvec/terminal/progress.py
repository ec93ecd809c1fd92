"""Progress of long jobs on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_SECONDS = 5.0
_LIVE_SECONDS = 0.2

_KNOWN_SHARE = 100
_KNOWN_SECONDS = 60.0
"""The time that is left is shown once a hundredth of the units is done, or after this time."""

Advance = Callable[[int], None]


class Meter:
    """The progress of a job: called with the number of units just done."""

    def __init__(self, total: int | None = None, shown: Callable[[], None] = lambda: None) -> None:
        self.total = total
        """Units of the whole job; None while that is not known."""

        self.done = self.before = 0
        """Units done, and how many of them by earlier runs."""

        self._shown, self._started = shown, time.monotonic()

    def __call__(self, count: int) -> None:
        """Note units that were just done."""
        self.done += count
        self._shown()

    def skip(self, count: int) -> None:
        """Note units that earlier runs did: they do not count for the rate."""
        self.done += count
        self.before += count
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the first unit of this run was begun."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Units a second, of this run."""
        return (self.done - self.before) / max(self.seconds, 1e-9)

    def line(self) -> str:
        """``500 of 2000 in 10 s, 50/s, 30 s left``; what is not known is omitted."""
        seconds, recent = self.seconds, self.done - self.before
        text = f"{self.done}"
        if self.total is not None:
            text += f" of {self.total}"
        text += f" in {seconds:.0f} s"
        if recent and seconds >= 1:
            text += f", {self.rate:.0f}/s"
            left = 0 if self.total is None else self.total - self.done
            # The first units came late, as while workers start: what they say of the others is far from it.
            is_likely = recent * _KNOWN_SHARE >= left or seconds >= _KNOWN_SECONDS
            text += f", {_duration(left / self.rate)} left" if left > 0 and is_likely else ""
        return text


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Meter]:
    """Show the progress of ``title``. The block calls the meter with the number of units just done."""
    shown = _bar if sys.stderr.isatty() else _lines
    with shown(title, total) as meter:
        yield meter


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Meter]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn("{task.fields[status]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, status="")

        def show() -> None:
            status = meter.line().partition(" in ")[2]
            bar.update(task, completed=meter.done, total=meter.total, status=status)

        meter = Meter(total, show)
        yield meter
        show()


@contextmanager
def _lines(title: str, total: int | None) -> Iterator[Meter]:
    last_write, reported = time.monotonic(), -1

    def write() -> None:
        nonlocal reported
        reported = meter.done
        sys.stderr.write(f"{title}: {meter.line()}\n")
        sys.stderr.flush()

    def show() -> None:
        nonlocal last_write
        if time.monotonic() - last_write >= LINE_SECONDS:
            last_write = time.monotonic()
            write()

    meter = Meter(total, show)
    yield meter
    if reported != meter.done:
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
