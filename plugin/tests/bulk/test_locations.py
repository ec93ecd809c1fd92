"""Files in an S3-compatible store, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import gettempdir

import boto3
import pytest
from plugin.tests.bulk.conftest import FakeEmbedding, MakeWork, row

from nestvec.bulk.inputs.listing import list_entries, list_files
from nestvec.bulk.locations import LocalCopies, OutputFolder
from nestvec.bulk.manifest import finished_tasks
from nestvec.bulk.options import default_folder
from nestvec.bulk.plan import input_files, plan_tasks
from nestvec.bulk.task import TaskRunner
from nestvec.ingest.options import IngestOptions
from nestvec_schemas.errors import FileUnreadable, IngestError


@pytest.mark.usefixtures("store")
def test_a_task_from_a_bucket_into_a_bucket(tmp_path: Path, make_work: MakeWork) -> None:
    import json
    from dataclasses import replace

    lines = b"".join(json.dumps(row(number)).encode() + b"\n" for number in range(9))
    client = boto3.client("s3")
    client.put_object(Bucket="corpus", Key="in/a.jsonl", Body=lines)
    client.put_object(Bucket="corpus", Key="in/_SUCCESS", Body=b"")
    files = input_files("s3://corpus/in", IngestOptions("a.db"))
    assert [(file.address, file.rows) for file in files] == [("s3://corpus/in/a.jsonl", 9)]
    work = replace(make_work(), folder="s3://corpus/out")
    tasks = list(plan_tasks(files, 5))
    runner = TaskRunner(work, FakeEmbedding())
    records = [runner(task) for task in tasks]
    folder = OutputFolder("s3://corpus/out")
    assert list(finished_tasks(folder).values()) == records
    names = [file.name for record in records for file in record.files]
    listed = client.list_objects_v2(Bucket="corpus", Prefix="out/files")["Contents"]
    assert sorted(entry["Key"] for entry in listed) == sorted(f"out/{name}" for name in names)
    assert folder.milvus_path(names[0]) == f"out/{names[0]}"
    folder.remove(names[0])
    assert folder.read(names[0]) is None


@pytest.mark.usefixtures("store")
def test_copies_are_in_the_folder_of_the_command(tmp_path: Path) -> None:
    boto3.client("s3").put_object(Bucket="corpus", Key="in/a.jsonl", Body=b'{"id": 1}\n')
    copies = LocalCopies(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    path = copies.path("s3://corpus/in/a.jsonl")
    assert path.read_bytes() == b'{"id": 1}\n'
    assert path.parent.parent == tmp_path
    # A node that is another machine does not have that folder.
    assert LocalCopies(str(tmp_path / "absent")).path("s3://corpus/in/a.jsonl").is_relative_to(gettempdir())


@pytest.mark.usefixtures("store")
def test_names_that_an_address_has_to_quote(tmp_path: Path) -> None:
    client = boto3.client("s3")
    for name in ("a b#1.jsonl", "50%.jsonl", "who?.jsonl"):
        client.put_object(Bucket="corpus", Key=f"in put/{name}", Body=b'{"id": 1}\n')
    files = input_files("s3://corpus/in%20put", IngestOptions("a.db"))
    assert [file.rows for file in files] == [1, 1, 1]
    assert list_files(files[0].address)[0].size == files[0].size


@pytest.mark.usefixtures("store")
def test_a_bucket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable):
        list_files("s3://nothing/in")


def test_a_file_appears_whole(tmp_path: Path) -> None:
    folder = OutputFolder(str(tmp_path / "job"))
    with folder.temporary("files/a") as path:
        path.write_bytes(b"half")
        assert folder.read("files/a") is None
    assert list((tmp_path / "job" / "files").iterdir()) == []
    folder.write("files/a", b"all")
    assert folder.read("files/a") == b"all"
    assert folder.names("files") == ["a"]
    assert LocalCopies().path(str(tmp_path)) == tmp_path


def test_what_can_be_read_once_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for source in (str(tmp_path / "pipe.jsonl"), "/dev/null", "-"):
        with pytest.raises(FileUnreadable, match=r"more than once.*Write the rows to a file"):
            list_files(source)


@pytest.mark.parametrize("source", ["", "https://example.com/rows.csv", "file:///rows.jsonl"])
def test_what_is_no_place_of_files_is_refused(source: str) -> None:
    with pytest.raises(FileUnreadable, match=r"source is empty|(https|file):// is no store.*s3://BUCKET"):
        list_entries(source)


def test_the_folder_of_a_job_is_beside_its_source(tmp_path: Path) -> None:
    source = tmp_path / "rows[1].jsonl"
    with pytest.raises(IngestError, match="--to"):
        default_folder(str(source), "docs")
    source.touch()
    assert default_folder(str(source), "docs") == f"{source}.docs.bulk"


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    folder = OutputFolder(str(tmp_path / "job"))
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(
        IngestError, match=rf"{tmp_path}/job \(there is no space left\).*Free space.*continues"
    ):
        folder.write("plan.json", b"{}")
    assert list((tmp_path / "job").iterdir()) == []
