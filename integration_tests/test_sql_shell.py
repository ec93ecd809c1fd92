"""``nestvec sql`` on the real Milvus Lite: statements, scripts, and the prompt."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click
import pytest
from click.testing import CliRunner, Result
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from pymilvus import DataType, Function, FunctionType, MilvusClient

from nestvec.cli import cli
from nestvec.milvus.calls import MilvusCalls
from nestvec.milvus.connection import open_milvus
from nestvec.milvus.providers import PROVIDERS
from nestvec.shell.complete import NameCatalog, SqlCompleter
from nestvec.shell.print_result import OutputFormat
from nestvec.shell.prompt import interact
from nestvec.shell.result_output import writing_to
from nestvec.shell.scripts import run_script
from nestvec.shell.shell import Shell
from nestvec.shell.state import ResultOutput
from nestvec.sql import Session, execute
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlSyntaxError, SqlUnknownName

LONG = "word " * 60


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two collections, one with a family of two lengths; its vectors come from nobody."""
    uri = str(tmp_path_factory.mktemp("shell") / "demo.db")
    with open_milvus(uri) as client:
        for name in ("papers", "notes"):
            schema = client.create_schema()
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("title", DataType.VARCHAR, max_length=500, nullable=True)
            schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
            index = client.prepare_index_params()
            index.add_index("v", index_type="FLAT", metric_type="COSINE")
            for dim in (64, 32) if name == "papers" else ():
                column = f"title_{dim}"
                schema.add_field(column, DataType.FLOAT_VECTOR, dim=dim)
                params = PROVIDERS["openai"].write_params(
                    "http://127.0.0.1:9", EmbeddingConfig("minilm", dim), MilvusCalls()
                )
                schema.add_function(
                    Function(column, FunctionType.TEXTEMBEDDING, ["title"], [column], params=params)
                )
                index.add_index(column, index_type="FLAT", metric_type="COSINE")
            client.create_collection(name, schema=schema, index_params=index)
        rows = [
            {"id": n, "title": (None, LONG, 'a "quoted", one')[n % 3], "v": [1.0, n, 0.0, 0.0]}
            for n in range(6)
        ]
        client.insert("notes", rows)
    return uri


@pytest.fixture
def client(database: str) -> Iterator[MilvusClient]:
    with open_milvus(database) as opened:
        yield opened


@pytest.fixture
def shell(client: MilvusClient) -> Shell:
    return Shell(client, Session())


def ran(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["sql", *arguments], input=given)


def test_a_script_from_a_file_or_standard_input(database: str, tmp_path: Path) -> None:
    script = "SELECT id FROM notes WHERE id < 2;\n-- ; nothing\nSELECT title FROM notes WHERE id = 2"
    written = tmp_path / "script.sql"
    written.write_text(script)
    for done in (
        ran("--uri", database, "--json", "--file", str(written)),
        ran("--uri", database, "--json", given=script),
        ran("--uri", database, "--json", script),
    ):
        assert done.exit_code == 0, done.output
        first, second = map(json.loads, done.stdout.splitlines())
        assert sorted(row["id"] for row in first) == [0, 1]
        assert second == [{"title": 'a "quoted", one'}]


def test_a_failure_stops_a_script_unless_it_is_to_continue(database: str) -> None:
    script = "SELECT nope FROM notes; SELECT id FROM notes WHERE id = 1"
    done = ran("--uri", database, "--csv", script)
    assert isinstance(done.exception, SqlUnknownName)
    assert done.stdout == ""
    done = ran("--uri", database, "--csv", "--continue", script)
    assert (done.exit_code, done.stdout) == (1, "id\n1\n")
    assert "no such column: nope" in done.stderr


def test_csv_and_tables_in_a_pipe_are_whole(database: str) -> None:
    ask = "SELECT id, title, v FROM notes WHERE id = :n"
    done = ran("--uri", database, "--csv", "--param", "n=1", ask)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows == [["id", "title", "v"], ["1", LONG, "[1.0,1.0,0.0,0.0]"]]
    done = ran("--uri", database, "--param", "n=1", "--timing", ask)
    assert LONG in done.stdout
    assert len(done.stdout.splitlines()) == 5
    assert "[1, 1, 0, … 4 dims]" in done.stdout
    assert "parsed and planned in" in done.stderr
    assert "1 row in" in done.stderr


def test_a_parameter_without_a_value(database: str) -> None:
    done = ran("--uri", database, "--param", "m=1", "SELECT id FROM notes WHERE id = :n")
    assert isinstance(done.exception, SqlSyntaxError)
    assert "the parameter n has no value" in str(done.exception)


def test_settings_last_for_the_whole_script(database: str) -> None:
    done = ran("--uri", database, "--json", "SET nestvec.recall = 0.5; SHOW nestvec.recall")
    assert json.loads(done.stdout) == [{"nestvec.recall": "0.5"}]
    assert done.stderr.splitlines()[0] == "SET"


def test_a_plan_is_not_counted_as_rows(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("EXPLAIN SELECT 1")
    found = capsys.readouterr()
    assert found.out.startswith("Answer\n")
    assert "rows" not in found.err


def test_backslash_commands(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("\\d")
    listed = capsys.readouterr().out
    assert "papers" in listed
    assert "v, title_64, title_32" in listed
    shell.run("\\d papers;")
    columns = capsys.readouterr().out
    assert "papers (0 rows)" in columns
    assert "│ VECTOR(64)" in columns
    assert "minilm of title" in columns
    shell.run("\\dims")
    family = capsys.readouterr().out
    assert family.index("title_32") < family.index("title_64")
    assert " 128 " in family
    assert "last" in family
    shell.run("\\dims notes")
    assert "No column is embedded" in capsys.readouterr().err
    shell.run("\\timing")
    shell.run("\\x on")
    assert (shell.timing, shell.expanded) == (True, "on")
    shell.run("SELECT id, title FROM notes WHERE id = 1")
    captured = capsys.readouterr()
    assert "id    │ 1\n" in captured.out
    assert LONG in captured.out
    shell.run("\\x")
    assert shell.expanded == "off"
    shell.run("\\x auto")
    assert shell.expanded == "auto"
    assert "Expanded display is used automatically." in capsys.readouterr().err
    shell.run("\\?")
    assert "\\dims [TABLE]" in capsys.readouterr().out
    shell.run("\\q")
    assert shell.done


def test_commands_as_psql_has_them(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(*pieces: str) -> str:
        for piece in pieces:
            shell.run(piece)
        return capsys.readouterr().out

    shell.output_format = "csv"
    assert "papers" in printed("\\dt pap*")
    assert "notes" not in printed("\\dt pap*")
    assert "default" in printed("\\l")
    assert "FLAT" in printed("\\di notes")
    assert "Connected to Milvus" in printed("\\conninfo")
    assert printed("\\set n 3", "\\set t 'it''s'", "SELECT :n AS n, :t AS t") == "n,t\n3,it's\n"
    assert printed("\\set") == "n = '3'\nt = 'it's'\n"
    with pytest.raises(SqlSyntaxError, match="has no value"):
        printed("\\unset t", "SELECT :t")
    assert printed("SELECT :n AS n", "\\g") == "n\n3\nn\n3\n"
    assert "n │ 3" in printed("\\gx")
    assert "m │ 4" in printed("\\gx SELECT 4 AS m")
    assert shell.output_format == "csv"
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert printed("SELECT 1 AS n", "\\watch 0.5 c=2") == "n\n1\n" * 3
    script = tmp_path / "one.sql"
    script.write_text("SELECT 1 AS n;\n\nSELECT\n  nope FROM notes;")
    with pytest.raises(SqlUnknownName):
        shell.run(f"\\i {script}")
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()[-1]) == ("n\n1\n", f"{script}:4:")
    script.write_text(f"\\i {script}")
    with pytest.raises(SqlSyntaxError, match="include one another"):
        shell.run(f"\\i {script}")
    results = tmp_path / "out.csv"
    assert printed(f"\\o {results}", "SELECT 1 AS n", "SELECT 2 AS n", "\\o", "SELECT 3 AS n") == "n\n3\n"
    assert results.read_text() == "n\n1\nn\n2\n"
    edited = tmp_path / "edit.sh"
    edited.write_text('#!/bin/sh\necho "SELECT 7 AS n;" > "$1"\n')
    edited.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(edited))
    monkeypatch.delenv("VISUAL", raising=False)
    assert printed("\\e") == "n\n7\n"
    shell.run("help")
    assert "\\copy" in capsys.readouterr().out
    shell.run("quit;")
    assert shell.done


@pytest.mark.parametrize("form", ["csv", "json"])
def test_copy_reads_what_was_printed(shell: Shell, tmp_path: Path, form: str) -> None:
    columns = (
        "id BIGINT PRIMARY KEY, t TEXT, d DATE, n NUMERIC(9, 2), b BYTEA, j JSONB, a TEXT[], v VECTOR(2)"
    )
    shell.run(f"CREATE TABLE copied ({columns})")
    try:
        shell.run(
            """INSERT INTO copied VALUES
            (1, '', '2020-01-02', 1.50, '\\x0a', '{"k": [1]}', ARRAY['x', ''], '[1, 0]'),
            (2, NULL, NULL, NULL, NULL, NULL, NULL, '[0, 1]'),
            (3, 'a "b"', NULL, 2, NULL, NULL, NULL, '[0, 1]')"""
        )
        query = "SELECT * FROM copied ORDER BY id"
        before = execute(shell.client, query).rows
        assert before[0][1] == ""
        path = tmp_path / f"rows.{form}"
        shell.output_format = cast(OutputFormat, form)
        for command in (f"\\o {path}", query, "\\o", "TRUNCATE copied", f"\\copy copied FROM {path}"):
            shell.run(command)
        assert execute(shell.client, query).rows == before
        shell.run(f"\\copy (SELECT id FROM copied WHERE id < 3 ORDER BY id) TO {tmp_path / 'ids.csv'}")
        assert (tmp_path / "ids.csv").read_text() == "id\n1\n2\n"
    finally:
        shell.run("DROP TABLE copied")


def test_a_long_result_is_shown_in_a_pager(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("click.echo_via_pager", lambda text, color: shown.append(text))
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("LINES", "10")
    for lines in (5, 20):
        with writing_to(ResultOutput(pager=True)):
            click.echo("row\n" * lines, nl=False)
    assert (terminal.getvalue(), shown) == ("row\n" * 5, ["row\n" * 20])


def test_options_as_psql_has_them(database: str, tmp_path: Path) -> None:
    done = ran("--uri", database, "-At", "-v", "n=2", "-c", "SELECT :n AS a, 'x' AS b", "-c", "SELECT 3")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "2|x\n3\n", "")
    assert ran("--uri", database, "-A", "-c", "SELECT 1 AS a").stdout == "a\n1\n(1 row)\n"
    script = tmp_path / "s.sql"
    script.write_text("SELECT 1;\nSELECT\nnope FROM notes;\nSELECT 2")
    done = ran("--uri", database, "-f", str(script))
    assert f"{script}:3:" in done.stderr
    done = ran("--uri", database, "--continue", "-At", "-f", str(script))
    assert f"nestvec: {script}:3: " in done.stderr
    assert done.stdout == "1\n2\n"
    assert ran("--uri", database, "-c", "SELECT 1", "SELECT 2").exit_code == 2


def test_lists_and_errors_again(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    execute(shell.client, "CREATE VIEW some_notes AS SELECT id FROM notes")
    try:
        printed = []
        for command in ("\\dv some*", "\\dn", "\\df regexp_*", "\\h sel", "\\dt+", "\\p", "\\pset"):
            shell.run(command)
            printed.append(capsys.readouterr().out)
    finally:
        execute(shell.client, "DROP VIEW some_notes")
    for text, expected in zip(
        printed,
        ("some_notes", "public", "regexp_replace\n", "SELECT", "papers", "no statement", "fieldsep"),
        strict=True,
    ):
        assert expected in text
    shell.run("\\errverbose")
    assert "no previous error" in capsys.readouterr().err
    assert run_script(shell, "SELECT nope FROM notes", keep_going=True) is not None
    shell.run("\\errverbose")
    assert "SqlUnknownName: " in capsys.readouterr().err
    with pytest.raises(SqlSyntaxError, match="no \\\\endif"):
        run_script(shell, "\\if on\nSELECT 1;")
    assert shell.script.branches == []
    for command in ("\\else", "\\endif", "\\elif on"):
        with pytest.raises(SqlSyntaxError, match="without an"):
            shell.run(command)
    with pytest.raises(SqlSyntaxError, match="returned no rows"):
        shell.run("\\gset SELECT 1 WHERE false")


def test_wrong_commands(shell: Shell) -> None:
    with pytest.raises(SqlSyntaxError, match=r"Did you mean '\\dims'"):
        shell.run("\\dim")
    with pytest.raises(SqlSyntaxError, match="takes no argument"):
        shell.run("\\q now")
    with pytest.raises(SqlSyntaxError, match="takes a boolean"):
        shell.run("\\timing maybe")
    with pytest.raises(SqlSyntaxError, match="on, off or auto"):
        shell.run("\\x maybe")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("SELECT id FROM pa", ["papers"]),
        ("SELECT ti| FROM notes", ["title"]),
        ("SELECT 1; sel", ["select"]),
        ("SELECT papers.title_| FROM papers", ["title_64", "title_32"]),
        ("SELECT n.ti| FROM notes n", ["title"]),
        ("SELECT EMBED(title, 'mi", ["minilm"]),
        ("SELECT 'no compl", []),
        ("SET nestvec.re", ["nestvec.recall", "nestvec.retry_seconds"]),
        ("\\di", ["\\di", "\\dims"]),
        ("\\d no", ["notes"]),
        ("OFFS", ["OFFSET"]),
    ],
)
def test_completion(client: MilvusClient, typed: str, offered: list[str]) -> None:
    before, _, after = typed.partition("|")
    document = Document(before + after, len(before))
    found = SqlCompleter(NameCatalog(client)).get_completions(document, CompleteEvent())
    assert [one.text for one in found] == offered


def test_typing(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with create_pipe_input() as keys:
        keys.send_text("SELECT id\r")
        keys.send_text("FROM notes WHERE id = 3;\r")
        keys.send_text("SELECT nope FROM notes;\r")
        keys.send_text("SELECT 'half a line\x03")
        keys.send_text("SELECT other\r\\r\r")
        keys.send_text("\\timing\r")
        keys.send_text("SELECT id FROM notes WHERE id = 4;\r")
        keys.send_text("SELECT '\r\\q\r' || id || 'th' FROM notes WHERE id = 5;\rSELECT\r\\q\r")
        interact(shell, (keys, DummyOutput()))
    captured = capsys.readouterr()
    assert "│  3 │" in captured.out
    assert "│  4 │" in captured.out
    assert "5th" in captured.out
    assert "syntax error" not in captured.err
    assert "no such column: nope" in captured.err
    assert "Timing is on." in captured.err
    kept = tmp_path / "nestvec" / "history"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "+FROM notes WHERE id = 3;" in kept.read_text()
    assert "half a line" not in kept.read_text()


def test_a_new_database_is_made_by_create_alone(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.db")
    done = ran("--uri", missing, "SELECT id FROM notes")
    assert "no Milvus Lite database at this path" in str(done.exception)
    assert not Path(missing).exists()
