from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

from nestvec_exporters.checkpoints.quiet import captured_output, quiet


def chatter() -> None:
    logging.getLogger("some.library").warning("consider this")
    warnings.warn("and that", stacklevel=1)


def test_warnings_are_held_back_and_come_again(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    with quiet():
        chatter()
    assert not caplog.records
    assert not recwarn.list
    chatter()
    assert len(caplog.records) == len(recwarn.list) == 1


def test_errors_are_not_held_back(caplog: pytest.LogCaptureFixture) -> None:
    with quiet():
        logging.getLogger("some.library").error("broken")
    assert caplog.messages == ["broken"]


def test_who_asks_for_information_hears_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), quiet():
        logging.getLogger("some.library").warning("consider this")
    assert caplog.messages == ["consider this"]


def test_what_a_tracer_writes_is_discarded(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_output():
        os.write(1, b"a graph\n")
        os.write(2, b"an operator\n")
        sys.stdout.write("and a hint\n")
    sys.stdout.write("after it\n")
    assert capfd.readouterr() == ("after it\n", "")


def test_an_error_gives_the_output_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), captured_output():
        raise KeyError
    os.write(1, b"after it\n")
    assert capfd.readouterr() == ("after it\n", "")
