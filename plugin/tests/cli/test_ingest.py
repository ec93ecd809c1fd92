"""``nestvec ingest``: what it refuses before it opens Milvus, and what its exit code says."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from pymilvus import MilvusClient

from nestvec.cli import cli
from nestvec.cli.ingest import (
    ColumnArgs,
    FileArgs,
    IngestArgs,
    RowArgs,
    _ingest_options,
    _print_reports,
)
from nestvec.cli.ingest_delivery import DeliveryArgs
from nestvec.cli.options import MilvusArgs
from nestvec.datasets.readers import ReadOptions
from nestvec.ingest import IngestReport
from nestvec.ingest.columns import ColumnMap
from nestvec_schemas.errors import FileUnreadable, StoreRefused

FILE = Path(__file__)


def arguments(*, dry_run: bool = False, files: tuple[Path, ...] = (FILE,), json: bool = False) -> IngestArgs:
    return IngestArgs(
        files,
        "c",
        milvus=MilvusArgs("x.db", "", ""),
        models=Path("models"),
        rows=RowArgs("csv", 256, False, None, "reject", 7, dry_run),
        reading=FileArgs(";", "'", None, "cp1252", ("NA",), "id, title"),
        columns=ColumnArgs({"Titel": "title"}, True),
        delivery=DeliveryArgs(3600, 4, False),
        json=json,
    )


@pytest.mark.parametrize("options", [["--batch", "0"], ["--batch", "5121"], ["--format", "xml"]])
def test_options_out_of_range_are_usage_errors(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "x.jsonl"
    path.touch()
    command = ["ingest", str(path), "--collection", "c", "--uri", "none.db", *options]
    assert CliRunner().invoke(cli, command).exit_code == 2


def test_a_file_of_an_unknown_kind_is_refused_before_milvus_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.touch()
    command = ["ingest", str(path), "--collection", "c", "--uri", str(tmp_path / "new.db")]
    with pytest.raises(FileUnreadable, match="--format"):
        CliRunner().invoke(cli, command, catch_exceptions=False)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("report", "code", "said"),
    [
        (
            IngestReport(5, 0, 2.0, this_run=4, resumed_at=1),
            None,
            "5 rows into c, resumed after row 1; 2.0 s, 2 rows/s.",
        ),
        (IngestReport(0, 0, 0.0), None, "0 rows into c; 0.0 s, 0 rows/s."),
        (
            IngestReport(1, 2, 1.0, ("line 2: bad",), Path("r.jsonl")),
            None,
            "2 rejected; see r.jsonl for the reasons:\n  line 2: bad",
        ),
        (IngestReport(0, 2, 1.0, ("line 2: bad",), Path("r.jsonl")), 1, "2 rejected"),
        (
            IngestReport(3, 0, 1.0, replaced=2),
            None,
            "3 rows into c; 1.0 s, 0 rows/s.\nLater rows with the same keys replaced 2 of them.",
        ),
        (IngestReport(3, 0, 1.0, warnings=("No column x.",)), None, "Warning: No column x."),
        (
            IngestReport(3, 0, 1.0, finished=False),
            130,
            "Stopped. To continue, run the same command again (without --restart).",
        ),
    ],
)
def test_the_exit_code_says_how_it_went(
    report: IngestReport, code: int | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = None
    try:
        _print_reports({FILE: report}, arguments())
    except SystemExit as end:
        found = end.code
    assert found == code
    output = capsys.readouterr()
    assert said in output.out + output.err


def test_the_options_reach_the_reader() -> None:
    options = _ingest_options(arguments())
    assert options.kind == "csv"
    assert options.reading == ReadOptions(
        delimiter=";", quote="'", encoding="cp1252", nulls=("NA",), columns=("id", "title"), limit=7
    )
    assert options.columns == ColumnMap({"Titel": "title"}, ignore_extra=True)


def test_several_files_are_reported_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    reports = {Path("a.csv"): IngestReport(1, 0, 1.0), Path("b.csv"): IngestReport(2, 0, 1.0)}
    _print_reports(reports, arguments(files=tuple(reports)))
    assert capsys.readouterr().out.splitlines()[::2] == ["a.csv:", "b.csv:"]
    _print_reports(reports, arguments(files=tuple(reports), json=True))
    document = json.loads(capsys.readouterr().out)
    assert [(file["file"], file["inserted"]) for file in document["files"]] == [("a.csv", 1), ("b.csv", 2)]


def test_a_dry_run_says_that_nothing_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    _print_reports({FILE: IngestReport(3, 1, 1.0, ("line 2: bad",))}, arguments(dry_run=True))
    assert capsys.readouterr().out.splitlines() == [
        "3 rows can be stored in c; nothing was written.",
        "1 rejected; the first reasons:",
        "  line 2: bad",
    ]


def test_standard_input_needs_a_format(tmp_path: Path) -> None:
    command = ["ingest", "-", "--collection", "c", "--uri", str(tmp_path / "new.db")]
    with pytest.raises(FileUnreadable, match="standard input is not known"):
        CliRunner().invoke(cli, command, catch_exceptions=False)


def test_one_file_of_rejected_rows_is_not_for_several_files(tmp_path: Path) -> None:
    command = ["ingest", __file__, __file__, "--rejects", "r", "--collection", "c", "--uri", "new.db"]
    result = CliRunner().invoke(cli, command)
    assert (result.exit_code, "--rejects is for one file" in result.output) == (2, True)


def test_the_own_name_of_a_collection_that_readers_use_by_its_alias_is_refused(tmp_path: Path) -> None:
    """A change that runs meanwhile would leave rows in a collection that nobody reads any more."""
    database, rows = str(tmp_path / "papers.db"), tmp_path / "rows.jsonl"
    rows.write_text('{"id": 1, "vector": [1, 2]}\n')
    with closing(MilvusClient(database)) as client:
        client.create_collection("papers__1", dimension=2)
        client.create_alias("papers__1", "papers")
    command = ["ingest", str(rows), "--uri", database, "--dry-run", "--collection"]
    with pytest.raises(StoreRefused, match=r"readers use this collection as papers.*Use the name papers"):
        CliRunner().invoke(cli, [*command, "papers__1"], catch_exceptions=False)
    assert CliRunner().invoke(cli, [*command, "papers"], catch_exceptions=False).exit_code == 0
