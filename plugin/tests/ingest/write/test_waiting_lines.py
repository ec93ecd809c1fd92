"""What a job says while it waits for a server."""

from __future__ import annotations

import pytest

from nestvec.ingest.write.faults import Fault
from nestvec.ingest.write.patience import Waiting
from nestvec.ingest.write.waiting_lines import WaitingLines

SERVICE = Fault("transient", "service", "OpenAI API error 504:\n remembered " + "x" * 500)
MILVUS = Fault("transient", "Milvus", "connection refused")


def waiting(fault: Fault) -> Waiting:
    return Waiting(fault, seconds=1, since=0, remaining=3540)


def test_a_line_says_who_is_waited_for_and_not_at_each_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter((0.0, 5.0, 29.0, 31.0, 32.0))
    lines = WaitingLines(clock=lambda: next(moments))
    for fault in (SERVICE, SERVICE, SERVICE, SERVICE, MILVUS):
        lines(waiting(fault))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith(
        "The embedding service did not take a request (OpenAI API error 504: remembered x"
    )
    assert len(said[0]) < 320
    assert said[2] == "Milvus did not take a request (connection refused); trying again for up to 59 min."


def test_a_service_that_is_not_there_is_named_with_what_to_do() -> None:
    said: list[str] = []
    absent = Fault(
        "transient", "service", "no service answers at http://a:1: refused. Start it.", absent=True
    )
    WaitingLines(said.append)(waiting(absent))
    assert said == ["No service answers at http://a:1: refused. Start it. Trying again for up to 59 min."]
