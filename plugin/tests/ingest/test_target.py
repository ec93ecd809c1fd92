"""The name of a database in a journal: the same in every process, from every folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from nestvec.ingest.target import RecordedTarget, client_target, former_target, journal_target
from nestvec.milvus.connection import open_milvus


def test_it_is_the_same_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert journal_target("x.db") == journal_target(str(tmp_path / "x.db")) == str(tmp_path / "x.db")
    assert journal_target("http://h:1/", "a") == "http://h:1#a"
    assert journal_target("http://h:1", "default") == journal_target("http://h:1") == "http://h:1"


def test_a_file_of_before_that_names_the_default_database_is_of_no_database() -> None:
    recorded = TypeAdapter(RecordedTarget)
    for target in ("http://h:1#default", "http://h:1"):
        assert recorded.validate_python(target) == journal_target("http://h:1", "default")
    assert recorded.validate_python("http://h:1#a") == "http://h:1#a"
    assert former_target("http://h:1") == "http://h:1#default"
    assert former_target("http://h:1#a") is None


def test_a_client_of_milvus_lite_names_the_file_and_not_its_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with open_milvus("x.db") as client:
            assert client_target(client) == journal_target("x.db")
