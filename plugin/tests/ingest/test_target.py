"""The name of a database in a journal: the same in every process, from every folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from nestvec.ingest.target import client_target, journal_target
from nestvec.milvus.connection import open_milvus


def test_it_is_the_same_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert journal_target("x.db") == journal_target(str(tmp_path / "x.db")) == str(tmp_path / "x.db")
    assert journal_target("http://h:1/", "a") == "http://h:1#a"
    assert journal_target("http://h:1", "default") == journal_target("http://h:1") == "http://h:1"


def test_a_client_of_milvus_lite_names_the_file_and_not_its_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with open_milvus("x.db") as client:
            assert client_target(client) == journal_target("x.db")
