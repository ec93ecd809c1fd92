"""How hard ``nestvec ingest`` tries, and what it says before it doubles rows."""

from __future__ import annotations

import pytest

from nestvec.cli.ingest_delivery import (
    DeliveryArgs,
    confirm_again,
    make_delivery,
    start_patiently,
)
from nestvec.ingest.finished import FinishedIngest
from nestvec.ingest.write.patience import Patience
from nestvec_schemas.errors import StoreUnreachable

FINISHED = FinishedIngest(file="x.jsonl", rows=500, finished=1_795_000_000.0)


def test_options_become_those_of_the_ingest() -> None:
    delivery = make_delivery(DeliveryArgs(retry_seconds=5, requests=2, yes=False))
    assert (delivery.retry_seconds, delivery.requests) == (5, 2)


def test_an_interrupted_ingest_waits_for_milvus_and_a_first_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Patience, "_sleep", lambda self, until: None)
    args = DeliveryArgs(retry_seconds=5, requests=2, yes=False)
    failures = [StoreUnreachable("Milvus is gone", next_step="Start it.")] * 2

    def start() -> str:
        if failures:
            raise failures.pop()
        return "started"

    with pytest.raises(StoreUnreachable, match="Milvus is gone"):
        start_patiently(args, start, resumes=False)
    assert len(failures) == 1
    assert start_patiently(args, start, resumes=True) == "started"


def test_without_a_terminal_doubled_rows_are_only_said(capsys: pytest.CaptureFixture[str]) -> None:
    args = DeliveryArgs(retry_seconds=5, requests=2, yes=False)
    assert confirm_again(args, interactive=False)(FINISHED)
    assert "500 rows of this file were stored in the collection on 2026-" in capsys.readouterr().err
    args = DeliveryArgs(retry_seconds=5, requests=2, yes=True)
    assert confirm_again(args, interactive=True)(FINISHED)
    assert capsys.readouterr().err == ""
