"""The journal of a change."""

from __future__ import annotations

from pathlib import Path

from nestvec.collections.change.journal import ChangeJournal


def test_a_row_counts_once_it_is_copied(tmp_path: Path) -> None:
    """A command that continues says how many there are: one that was only sent is sent again."""
    with ChangeJournal(tmp_path / "x.change", "papers") as journal:
        journal.record_sent([(1, b"a"), (2, b"b")], 1)
        assert journal.count() == 0
        journal.record([(1, b"a")], 1)
        assert journal.count() == 1
