from __future__ import annotations

import re
import subprocess
import sys

import pytest

from nestvec.terminal import progress
from nestvec.terminal.progress import stages

BAR = (
    "from nestvec.terminal.progress import progress\n"
    "with progress('Work', 3) as advance:\n    advance(1); advance(2)"
)


def test_plain_lines_where_nobody_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with progress.progress("Work", 3) as advance:
        advance(1)
        advance(2)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["Work: 1 of 3 in 0 s", "Work: 3 of 3 in 0 s"]


def test_quick_work_says_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("Work", None) as advance:
        advance(5)
    assert capsys.readouterr().err == "Work: 5 in 0 s\n"


def test_rate_and_time_left_are_those_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    meter = progress.Meter(1000)
    now = 60.0
    meter.skip(400)
    assert meter.line() == "400 of 1000 in 0 s"
    now = 70.0
    meter(100)
    assert meter.line() == "500 of 1000 in 10 s, 10/s, 50 s left"
    meter.total = 9_500
    assert meter.line().endswith("15 min left")
    meter.total = None
    assert meter.line() == "500 in 10 s, 10/s"


def test_the_time_left_is_not_known_from_the_first_units(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    meter = progress.Meter(10_000)
    now = 20.0
    meter(5)
    assert meter.line() == "5 of 10000 in 20 s, 0/s"
    meter(95)
    assert meter.line().endswith("5/s, 33 min left")
    slow = progress.Meter(10_000)
    now = 90.0
    slow(5)
    assert slow.line().endswith("left")


def test_a_bar_on_a_terminal() -> None:
    terminal = ["script", "-qec", f'{sys.executable} -c "{BAR}"', "/dev/null"]
    shown = subprocess.run(terminal, capture_output=True, text=True, check=True).stdout
    assert "\x1b" in shown
    assert "3/3" in shown


def test_stages_go_to_standard_error_with_their_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with stages() as shown:
        shown.stage("reading")
        shown.stage("writing")
    told = capsys.readouterr()
    assert re.fullmatch(r"reading … \d\.\d s\nwriting … \d\.\d s\n", told.err)
    assert told.out == ""


def test_a_stage_that_fails_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), stages() as shown:
        shown.stage("reading")
        raise KeyError
    assert capsys.readouterr().err.endswith(" s\n")
