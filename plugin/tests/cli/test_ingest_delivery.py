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
from nestvec.milvus.address import ConnectSettings, parse_address
from nestvec.milvus.diagnose import check_listening
from nestvec.service.server import bind
from nestvec_schemas.errors import IngestError, StoreUnreachable

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


def test_a_milvus_that_is_not_there_yet_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Patience, "_sleep", lambda self, until: None)
    args = DeliveryArgs(retry_seconds=5, requests=2, yes=False)
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    address, attempts = parse_address(f"http://127.0.0.1:{port}"), list[int]()

    def start() -> str:
        attempts.append(1)
        if len(attempts) < 4:
            check_listening(address, ConnectSettings())
        return "started"

    assert start_patiently(args, start, resumes=False) == "started"
    assert len(attempts) == 4
    said = capsys.readouterr().err
    assert said.startswith(f"Nothing listens at the address of Milvus: 127.0.0.1:{port}. Start Milvus there")
    assert "Trying again for up to 5 s." in said


def test_a_host_that_does_not_exist_is_an_error_at_once() -> None:
    with pytest.raises(StoreUnreachable, match="there is no host of this name"):
        start_patiently(
            DeliveryArgs(retry_seconds=3600, requests=2, yes=False),
            lambda: check_listening(parse_address("http://nowhere.invalid:19530"), ConnectSettings()),
            resumes=False,
        )


def test_without_a_terminal_rows_are_doubled_only_by_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    args = DeliveryArgs(retry_seconds=5, requests=2, yes=False)
    with pytest.raises(IngestError, match="would be stored a second time") as raised:
        confirm_again(args, interactive=False)(FINISHED)
    assert str(raised.value.value).startswith("500 rows of this file were stored in the collection on 2026-")
    assert raised.value.next_step == "Nothing was written; --yes stores them again."
    args = DeliveryArgs(retry_seconds=5, requests=2, yes=True)
    assert confirm_again(args, interactive=False)(FINISHED)
    assert confirm_again(args, interactive=True)(FINISHED)
    assert capsys.readouterr().err == ""
