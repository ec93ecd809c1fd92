"""``nestvec ingest``: what it refuses before it opens Milvus, and what its exit code says."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nestvec.cli import cli
from nestvec.cli.ingest import _print_report, _target
from nestvec.cli.options import MilvusArgs
from nestvec.ingest import IngestReport
from nestvec_schemas.errors import FileUnreadable


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
        _print_report(report, "c", as_json=False)
    except SystemExit as end:
        found = end.code
    assert found == code
    output = capsys.readouterr()
    assert said in output.out + output.err


def test_a_target_is_the_same_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _target(MilvusArgs("x.db", "", "")) == _target(MilvusArgs(str(tmp_path / "x.db"), "", ""))
    assert _target(MilvusArgs("http://h:1/", "", "a")) == "http://h:1#a"
