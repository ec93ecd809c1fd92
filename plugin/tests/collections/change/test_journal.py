"""The journal of a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from nestvec.collections.change.journal import ChangeJournal, journal_path


def test_a_row_counts_once_it_is_copied(tmp_path: Path) -> None:
    """A command that continues says how many there are: one that was only sent is sent again."""
    with ChangeJournal(tmp_path / "x.change", "papers") as journal:
        journal.record_sent([(1, b"a"), (2, b"b")], 1)
        assert journal.count() == 0
        journal.record([(1, b"a")], 1)
        assert journal.count() == 1


@pytest.mark.parametrize("server", [False, True])
def test_one_of_the_default_database_by_its_name_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: bool
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    target = "http://h:1" if server else str(tmp_path / "x.db")
    own, former = journal_path(target, "papers"), journal_path(f"{target}#default", "papers")
    assert own != former
    with ChangeJournal(former, "papers"):
        assert journal_path(target, "papers") == former
        assert journal_path(target, "notes") != former
        with ChangeJournal(own, "papers"):
            assert journal_path(target, "papers") == own
