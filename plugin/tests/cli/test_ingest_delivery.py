"""What ``nestvec ingest`` says while it waits, and before it doubles rows."""

from __future__ import annotations

import pytest

from nestvec.cli.ingest_delivery import DeliveryArgs, WaitingLines, confirm_again, make_delivery
from nestvec.ingest.finished import FinishedIngest
from nestvec.ingest.write.faults import Fault
from nestvec.ingest.write.patience import Waiting

SERVICE = Fault("transient", "service", "OpenAI API error 504:\n remembered " + "x" * 500)
MILVUS = Fault("transient", "Milvus", "connection refused")
FINISHED = FinishedIngest(file="x.jsonl", rows=500, finished=1_795_000_000.0)


def waiting(fault: Fault) -> Waiting:
    return Waiting(fault, seconds=1, since=0, remaining=3540)


def test_a_line_says_who_is_waited_for_and_not_at_each_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter((0.0, 5.0, 29.0, 31.0, 32.0))
    lines = WaitingLines(lambda: next(moments))
    for fault in (SERVICE, SERVICE, SERVICE, SERVICE, MILVUS):
        lines(waiting(fault))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith(
        "The embedding service did not take a request (OpenAI API error 504: remembered x"
    )
    assert len(said[0]) < 320
    assert said[2] == "Milvus did not take a request (connection refused); trying again for up to 59 min."


def test_options_become_those_of_the_ingest() -> None:
    delivery = make_delivery(DeliveryArgs(retry_seconds=5, requests=2, yes=False))
    assert (delivery.retry_seconds, delivery.requests) == (5, 2)


def test_without_a_terminal_doubled_rows_are_only_said(capsys: pytest.CaptureFixture[str]) -> None:
    args = DeliveryArgs(retry_seconds=5, requests=2, yes=False)
    assert confirm_again(args, interactive=False)(FINISHED)
    assert "500 rows of this file were stored in the collection on 2026-" in capsys.readouterr().err
    args = DeliveryArgs(retry_seconds=5, requests=2, yes=True)
    assert confirm_again(args, interactive=True)(FINISHED)
    assert capsys.readouterr().err == ""
