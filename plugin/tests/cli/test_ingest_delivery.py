"""How hard ``nestvec ingest`` tries, and what it says before it doubles rows."""

from __future__ import annotations

import pytest

from nestvec.cli.ingest_delivery import DeliveryArgs, confirm_again, make_delivery
from nestvec.ingest.finished import FinishedIngest

FINISHED = FinishedIngest(file="x.jsonl", rows=500, finished=1_795_000_000.0)


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
