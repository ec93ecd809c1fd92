"""What VACUUM and REINDEX ask of a server."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pymilvus import MilvusClient

from nestvec.milvus.steps import drive
from nestvec.sql import Session
from nestvec.sql.statements import execute_steps


class _Server:
    """A Milvus with two collections."""

    def __init__(self, version: str) -> None:
        self.version, self.compacted = version, list[str]()

    def get_server_version(self) -> str:
        return self.version

    def list_collections(self) -> list[str]:
        return ["items", "notes"]

    def compact(self, name: str) -> int:
        self.compacted.append(name)
        return 7

    def has_collection(self, name: str) -> bool:
        return name in self.list_collections()

    def list_aliases(self, **_: Any) -> dict[str, list[str]]:
        return {"aliases": []}


@pytest.mark.parametrize(("version", "compacted"), [("2.6.18", ["items", "notes"]), ("milvus_lite", [])])
def test_a_server_is_asked_to_compact(version: str, compacted: list[str]) -> None:
    server, session = _Server(version), Session()
    result = drive(cast(MilvusClient, server), execute_steps(session, "VACUUM"))
    assert result.tag == "VACUUM"
    assert server.compacted == compacted
    assert [*session.notices.take()] == (
        [] if compacted else ["Milvus Lite has no VACUUM: the table is as it was"]
    )


def test_a_reindex_says_that_nothing_is_done() -> None:
    session = Session()
    result = drive(cast(MilvusClient, _Server("2.6.18")), execute_steps(session, "REINDEX DATABASE"))
    assert result.tag == "REINDEX"
    assert "REINDEX does nothing" in session.notices.take()[0]
