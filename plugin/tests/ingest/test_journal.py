"""The journal: written in one step, read back, and of one ingest only."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from nestvec.datasets.readers import ReadOptions, open_source
from nestvec.ingest.content import ContentHash, RowDigests, hash_prefix
from nestvec.ingest.journal import (
    IngestIdentity,
    Journal,
    PendingBatch,
    Progress,
    identify,
    journal_path,
    remove_journal,
    resume_journal,
    settle_pending,
    write_journal,
)
from nestvec_schemas.errors import FileUnreadable, IngestError, JournalMismatch

DONE = Progress(read=5, inserted=4, rejected=1, rejects_bytes=80)
THEN = Progress(read=8, inserted=7, rejected=1, rejects_bytes=80)


def identity(path: Path, **changed: str) -> IngestIdentity:
    fields = {"format": "csv", "target": "a.db", "collection": "c"} | changed
    rejects = Path(fields.pop("rejects", "r.jsonl"))
    return identify(path, rejects=rejects, **fields)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "x.csv"
    path.write_text("id\n1\n")
    return path


def test_it_is_read_back_and_removed(source: Path) -> None:
    path = journal_path(source, "c")
    assert path.name == "x.csv.c.ingest.json"
    mine = identity(source)
    assert resume_journal(path, mine) == Journal(identity=mine)
    journal = Journal(identity=mine, reached=DONE, pending=PendingBatch(count=4, rows=3, then=THEN))
    write_journal(path, journal)
    assert resume_journal(path, mine) == journal
    assert sorted(one.name for one in source.parent.iterdir()) == ["x.csv", path.name]
    remove_journal(path)
    remove_journal(path)
    assert not path.exists()


def test_of_the_default_database_by_its_name_as_it_was_written_before(source: Path) -> None:
    path = journal_path(source, "c")
    write_journal(path, Journal(identity=identity(source), reached=DONE))
    path.write_text(path.read_text().replace('"a.db"', '"a.db#default"'))
    assert resume_journal(path, identity(source)).reached == DONE


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"target": "b.db"}, "--uri has changed since: a.db, now b.db"),
        ({"collection": "d"}, "the collection has changed"),
        ({"format": "jsonl"}, "--format has changed"),
        ({"rejects": "other"}, "--rejects has changed"),
    ],
)
def test_of_another_command(source: Path, changed: dict[str, str], said: str) -> None:
    path = journal_path(source, "c")
    write_journal(path, Journal(identity=identity(source), reached=DONE))
    with pytest.raises(JournalMismatch, match=f"{said}.*5 rows that are done.*--restart"):
        resume_journal(path, identity(source, **changed))


@pytest.mark.parametrize(
    ("text", "said"), [("id\n1\n2\n", "the file's size has"), ("id\n2\n", "the file's first rows have")]
)
def test_of_another_file(source: Path, text: str, said: str) -> None:
    path = journal_path(source, "c")
    write_journal(path, Journal(identity=identity(source), reached=DONE))
    source.write_text(text)
    with pytest.raises(JournalMismatch, match=said):
        resume_journal(path, identity(source))


def content(source: Path) -> ContentHash:
    return hash_prefix(source, source.stat().st_size)


def test_of_other_encoders(source: Path) -> None:
    path = journal_path(source, "c")
    before = "v 0123456789abcdef"
    write_journal(path, Journal(identity=identity(source, encoders=before), reached=Progress(read=1)))
    assert resume_journal(path, identity(source, encoders=before)).reached.read == 1
    for now in ("v ffffffffffffffff", ""):
        with pytest.raises(JournalMismatch, match=f"made by other encoders since: {before}, now {now}"):
            resume_journal(path, identity(source, encoders=now))
    # A collection may be adopted meanwhile.
    write_journal(path, Journal(identity=identity(source), reached=Progress(read=1)))
    assert resume_journal(path, identity(source, encoders=before)).identity.encoders == before


def test_of_a_file_that_was_written_to_before_it_was_hashed(source: Path) -> None:
    path = journal_path(source, "c")
    write_journal(path, Journal(identity=identity(source), reached=DONE))
    os.utime(source, ns=(0, 0))
    with pytest.raises(JournalMismatch, match="the file has been written to since"):
        resume_journal(path, identity(source), open_source(source))


def test_a_copied_file_whose_rows_are_the_same_continues_before_all_of_it_was_hashed(source: Path) -> None:
    path = journal_path(source, "c")
    write_journal(path, Journal(identity=identity(source), reached=reached_after(source, 1, ReadOptions())))
    os.utime(source, ns=(0, 0))
    assert resume_journal(path, identity(source), open_source(source)).reached.read == 1
    source.write_text("id\n2\n")
    with pytest.raises(JournalMismatch, match="first rows have changed since"):
        resume_journal(path, identity(source), open_source(source))


def test_a_file_of_the_same_content_is_the_same_whenever_it_was_written(source: Path) -> None:
    path = journal_path(source, "c")
    write_journal(path, Journal(identity=identity(source), reached=DONE, content=content(source)))
    os.utime(source, ns=(0, 0))
    assert resume_journal(path, identity(source), open_source(source)).reached == DONE
    source.write_text("id\n2\n")
    with pytest.raises(JournalMismatch, match="first rows have changed since"):
        resume_journal(path, identity(source), open_source(source))


def test_rows_that_were_appended_are_read_after_those_that_are_done(source: Path) -> None:
    path = journal_path(source, "c")
    reached = reached_after(source, 1, ReadOptions())
    write_journal(path, Journal(identity=identity(source), reached=reached, content=content(source)))
    with source.open("a") as file:
        file.write("2\n")
    resumed = resume_journal(path, identity(source), open_source(source))
    assert (resumed.reached, resumed.identity.size) == (reached, 7)


@pytest.mark.parametrize(
    ("before", "after", "format"),
    [("id\n1", "id\n12\n", "csv"), ("id\n1\n", "id\n2\n3\n", "csv"), ("PAR1\n", "PAR1\nmore\n", "parquet")],
)
def test_a_longer_file_of_other_rows_is_another(source: Path, before: str, after: str, format: str) -> None:
    path = journal_path(source, "c")
    source.write_text(before)
    was = Journal(identity=identity(source, format=format), reached=DONE, content=content(source))
    write_journal(path, was)
    source.write_text(after)
    with pytest.raises(JournalMismatch, match="the file's size has changed since"):
        resume_journal(path, identity(source, format=format), open_source(source))


@pytest.mark.parametrize(
    ("before", "after", "reading"),
    [
        ('id,text\n1,"a\n', 'b"\n2,c\n', ReadOptions()),
        ('id,text\n1,"a""\n', 'b"\n2,c\n', ReadOptions()),
        ("id,text\n1,'a\n", "b'\n", ReadOptions(quote="'")),
        ('id,text\n1,"a\\"\n', 'b"\n', ReadOptions(escape="\\")),
        ('id,text\n1,"a\n', 'b"\n', ReadOptions(encoding="utf-16-be")),
        ('id,text\n1,5" disk\n2,"a\n3,b\n', 'c"\n4,d\n', ReadOptions()),
        ("id;text\n1;5' disk\n2;'a\n", "b'\n", ReadOptions(quote="'", delimiter=";")),
        ('id,text\n1,5" disk\n2,"a\\\n', 'b"\n', ReadOptions(escape="\\")),
        ('id,t\n",,a,1\n"abbb\n', 'b\n,bb1\na1,1b\na\n11,""\na""a"\n', ReadOptions()),
        ('id,t\n"a"""b,",x\n"b\n\n', 'b",x\n', ReadOptions(delimiter=",")),
        ("id,t;u\n1,2;3\n", "1;2\n1;2\n1;2\n1;2\n", ReadOptions()),
    ],
)
def test_lines_that_change_rows_that_were_read(
    source: Path, before: str, after: str, reading: ReadOptions
) -> None:
    encoding = reading.encoding or "utf-8"
    with pytest.raises(JournalMismatch, match=r"grown by lines that change rows that were read.*--restart"):
        resume_longer(source, before.encode(encoding), after.encode(encoding), reading)


@pytest.mark.parametrize(
    ("before", "reading"),
    [
        ('id,text\n1,"a\nb ""c"""\n', ReadOptions()),
        ('id,text\n1,5" disk\n', ReadOptions(quote="none")),
        ('id,text\n1,"a\\"b\\\\"\n', ReadOptions(escape="\\")),
        ('id,text\n1,"it\'s"\n', ReadOptions()),
        ('\ufeff"id","text"\n1,5" by 3" disk\n', ReadOptions()),
        ('id,text\n1,5" disk\n', ReadOptions()),
        ('id,text\n1,"a\n', ReadOptions()),
        ("id,text\n1,a\n", ReadOptions(encoding="utf-16-be")),
    ],
)
def test_rows_that_stay_the_same_are_not_read_again(source: Path, before: str, reading: ReadOptions) -> None:
    encoding = reading.encoding or "utf-8"
    resumed = resume_longer(source, before.encode(encoding), "2,c\n".encode(encoding), reading)
    assert resumed.reached.read == 1


def test_rows_of_a_pending_batch_may_not_change_either(source: Path) -> None:
    before, after = b'id,text\n1,a\n2,"b\n', b'c"\n'
    assert resume_longer(source, before, after, ReadOptions(), done=1).reached.read == 1
    with pytest.raises(JournalMismatch, match="change rows that were read"):
        resume_longer(source, before, after, ReadOptions(), done=1, pending=1)


def test_a_row_whose_second_half_was_not_yet_written_has_changed(source: Path) -> None:
    """The file becomes longer while its rows are read, and after that."""
    path = journal_path(source, "c")
    source.write_bytes(b"id,text\n1,a\n")
    started = Journal(identity=identity(source), content=content(source))
    with source.open("ab") as file:
        file.write(b"2,b")
    reached = reached_after(source, 2, ReadOptions())
    write_journal(path, started.model_copy(update={"reached": reached}))
    assert resume_journal(path, identity(source), open_source(source)).reached.read == 2
    with source.open("ab") as file:
        file.write(b"cd\n")
    with pytest.raises(JournalMismatch, match="change rows that were read"):
        resume_journal(path, identity(source), open_source(source))


def reached_after(source: Path, read: int, reading: ReadOptions) -> Progress:
    digests = RowDigests()
    rows = list(islice(digests.follow(open_source(source, options=reading).items()), read))
    assert len(rows) == read
    return Progress(read=read, inserted=read, rows_sha256=digests.after(read))


def resume_longer(
    source: Path, before: bytes, after: bytes, reading: ReadOptions, done: int | None = None, pending: int = 0
) -> Journal:
    """The journal of an ingest that had stored ``done`` rows, by default all, as the file became longer."""
    path = journal_path(source, "c")
    source.write_bytes(before)
    if done is None:
        done = sum(1 for _ in open_source(source, options=reading).items())
    journal = Journal(
        identity=identity(source), reached=reached_after(source, done, reading), content=content(source)
    )
    if pending:
        then = reached_after(source, done + pending, reading)
        batch = PendingBatch(count=done, rows=pending, then=then)
        journal = journal.model_copy(update={"pending": batch})
    write_journal(path, journal)
    source.write_bytes(before + after)
    return resume_journal(path, identity(source), open_source(source, options=reading))


def test_one_that_had_not_begun_is_of_any_file(source: Path) -> None:
    path = journal_path(source, "c")
    write_journal(path, Journal(identity=identity(source)))
    source.write_text("id\n1\n2\n")
    assert resume_journal(path, identity(source)) == Journal(identity=identity(source))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"identity": 1}', b"\xff"])
def test_damaged(source: Path, data: bytes) -> None:
    path = journal_path(source, "c")
    path.write_bytes(data)
    with pytest.raises(JournalMismatch, match=r"is damaged.*--restart"):
        resume_journal(path, identity(source))


def test_a_pending_batch_is_settled_by_the_count(source: Path) -> None:
    pending = PendingBatch(count=4, rows=3, then=THEN)
    journal = Journal(identity=identity(source), reached=DONE, pending=pending)
    assert settle_pending(journal, 4) == Journal(identity=journal.identity, reached=DONE)
    assert settle_pending(journal, 7) == Journal(identity=journal.identity, reached=THEN)
    for count in (0, 3, 5, 8):
        with pytest.raises(JournalMismatch, match=f"{count} rows, where 4 or 7 were expected"):
            settle_pending(journal, count)


def test_an_emptied_collection_is_noticed(source: Path) -> None:
    journal = Journal(identity=identity(source), reached=DONE)
    assert settle_pending(journal, 1) == journal
    with pytest.raises(JournalMismatch, match="the collection is empty"):
        settle_pending(journal, 0)


def test_what_cannot_be_read_or_written(tmp_path: Path, source: Path) -> None:
    with pytest.raises(FileUnreadable, match="No such file"):
        identity(tmp_path / "none")
    journal = Journal(identity=identity(source))
    with pytest.raises(IngestError, match="cannot be read or written: No such file"):
        write_journal(tmp_path / "none" / "j.json", journal)
    with pytest.raises(IngestError, match="cannot be read or written: Is a directory"):
        resume_journal(tmp_path, identity(source))
    with pytest.raises(IngestError, match="cannot be read or written: Is a directory"):
        remove_journal(tmp_path)
