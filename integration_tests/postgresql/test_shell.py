"""Scripts of psql: ``nestvec sql`` prints what the real psql prints for the same ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result
from integration_tests.fixtures.postgres import PostgresServer, installation

from nestvec.cli import cli

HANG_GUARD = 120.0

VALUES: Final = r"""
SELECT 1 AS id, 'a' AS name, 2.50 AS price, true AS ok, NULL AS none, '' AS empty;
SELECT x, y FROM (VALUES (1, 'one'), (22, NULL), (NULL, 'three')) AS t(x, y) ORDER BY x;
SELECT 1 AS a WHERE false;
SELECT ARRAY[1, 2] AS n, ARRAY['a b', 'c', NULL, 'NULL', '', 'q"t', 'b\s'] AS t, ARRAY[true] AS b;
SELECT ARRAY['2024-01-02'::date] AS d, ARRAY[]::int[] AS e, ARRAY[1.50, 2.25] AS n, ARRAY[0.1::real] AS r;
SELECT '{"b": [1, 2.5], "a": null}'::jsonb AS j, '"x"'::jsonb AS s, '12'::jsonb AS n;
SELECT '2024-01-02'::date AS d, '2024-01-02 03:04:05.50'::timestamp AS t, '03:04'::time AS h;
SELECT '2024-01-02 03:04:05+02'::timestamptz AS z, interval '1 day 02:03' AS i, '\x01ff'::bytea AS b;
SELECT 0.1::real AS r, 1e20::float8 AS f, 'NaN'::float8 AS n, -1.5 AS m, 1e-7::float8 AS s;
SELECT 'one' || chr(10) || 'two' AS text, 7 AS n;
SELECT 7 AS n, 'one' || chr(10) || 'two and more' || chr(10) || '' AS "the text";
SELECT '漢字' AS wide, 'é' AS accent, 'b' AS c;
SELECT 'a|b' AS bar, ' padded ' AS p;
SELECT 'one' AS a_longer_name, 1 AS another_long_name;
"""

FORMATS: Final = r"""
\pset null '(null)'
SELECT NULL AS n, 1 AS one, 'x' AS t;
\x on
SELECT 1 AS id, 'some longer text' AS name UNION ALL SELECT 2, NULL;
SELECT 1 AS id WHERE false;
SELECT 'one' || chr(10) || 'two' AS text, 7 AS a_long_name;
\t on
SELECT 1 AS id, 'b' AS name UNION ALL SELECT 2, 'c';
\x off
SELECT 1 AS id, 'b' AS name;
\t off
\C 'A title'
SELECT 1 AS id, 'b' AS name;
\C
\pset footer off
SELECT 1 AS id;
\pset footer on
\pset fieldsep ', '
SELECT 1 AS id, 2 AS n;
\f ;
SELECT 1 AS id, 2 AS n;
\pset format unaligned
SELECT 1 AS id, NULL AS n;
\pset format aligned
SELECT 1 AS id, NULL AS n;
\pset format csv
SELECT 1 AS id, 'a,"b"' AS t, NULL AS n;
"""

COMMANDS: Final = r"""
\set n 3
\set t 'it''s'
\set name 'Mixed Name'
\echo n is :n, :'t', :"name" and :missing '  quoted  '
\echo -n without
\echo ' a line end'
SELECT :n + 1 AS n, :'t' AS t, 7 AS :"name", ':n' AS text;
SELECT 1 AS one, 'x' AS two, NULL AS three \gset
\echo :one :two :three
SELECT 5 AS five \gset my_
\echo :my_five :{?my_five} :{?nothing}
SELECT 'SELECT ' || x || ' AS run' FROM generate_series(1, 2) AS g(x) \gexec
SELECT 1 AS a, 'b' AS b \gx
SELECT 1 AS a \g (format=unaligned tuples_only=on)
SELECT 2 AS a \g
\g
\g (format=unaligned tuples_only=on)
\gset my_
\echo :my_a
"""

BRANCHES: Final = r"""
\if true
\echo one
\if no
\echo never
SELECT 'never' AS x;
\elif on
\echo two
\elif 1
\echo never
\else
\echo never
\endif
\else
\if nonsense
\endif
\echo never
\endif
\if false
\echo never
\else
SELECT 'last' AS x;
\endif
\set done 1
\if :{?done}
\echo done
\endif
\qecho to the results
\unset done
\if :{?done}
\echo never
\endif
SELECT 1 AS before_quitting;
\q
SELECT 'never';
"""


def psql(server: PostgresServer, *arguments: str, script: str | None = None) -> tuple[int, str]:
    """The exit code of the real psql, and what it printed on standard output."""
    environment = {**os.environ, "PGTZ": "UTC", "PGCLIENTENCODING": "UTF8", "LC_ALL": "C.UTF-8", "PAGER": ""}
    done = subprocess.run(
        [installation() / "bin" / "psql", "-X", "-q", "-d", server.address, *arguments],
        input=None if script is None else script.encode(),
        capture_output=True,
        env=environment,
        timeout=HANG_GUARD,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def nestvec_sql(database: Path, *arguments: str, script: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["sql", "--uri", str(database), "-q", *arguments], input=script)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shell") / "shell.db"
    created = CliRunner().invoke(
        cli, ["sql", "--uri", str(path), "CREATE TABLE t (id BIGINT PRIMARY KEY, v VECTOR(2))"]
    )
    assert created.exit_code == 0, created.output
    return path


@pytest.mark.parametrize(
    "options",
    [
        ("-A",),
        ("-A", "-t"),
        ("-At", "-F", "\t", "-R", "\n--\n"),
        ("-A", "-z", "-0"),
        ("-A", "-P", "null=NULL", "-P", "footer=off"),
        ("-A", "-x"),
        ("-P", "format=aligned"),
        ("-P", "format=aligned", "-t"),
        ("-P", "format=aligned", "-x"),
        ("-P", "format=aligned", "-x", "-t"),
        ("-P", "format=aligned", "-P", "title=Rows"),
    ],
    ids=" ".join,
)
def test_values_in_every_format(postgresql: PostgresServer, database: Path, options: tuple[str, ...]) -> None:
    code, expected = psql(postgresql, *options, script=VALUES)
    done = nestvec_sql(database, *options, script=VALUES)
    assert (done.exit_code, code) == (0, 0), done.output
    assert done.stdout == expected


@pytest.mark.parametrize("script", [FORMATS, COMMANDS, BRANCHES], ids=["formats", "commands", "branches"])
def test_scripts_of_commands(postgresql: PostgresServer, database: Path, script: str) -> None:
    code, expected = psql(postgresql, script=script)
    done = nestvec_sql(database, "-P", "format=aligned", script=script)
    assert (done.exit_code, code) == (0, 0), done.output
    assert done.stdout == expected


def test_files_and_included_files(postgresql: PostgresServer, database: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.sql").write_text("SELECT 'inner' AS x;\n\\ir ../last.sql\n")
    (tmp_path / "last.sql").write_text("\\echo last\n")
    script = tmp_path / "outer.sql"
    results = tmp_path / "results.txt"
    script.write_text(
        f"\\ir folder/inner.sql\n\\i {tmp_path}/last.sql\n\\o {results}\nSELECT 1 AS a;\n\\qecho also\n\\o\n"
        f"SELECT 2 AS b \\g {tmp_path}/b.txt\nSELECT 3 AS c;\n\\! echo from a shell > {tmp_path}/shell.txt\n"
    )
    outcomes = []
    for run in (
        lambda: psql(postgresql, "-A", "-f", str(script)),
        lambda: (lambda done: (done.exit_code, done.stdout))(nestvec_sql(database, "-A", "-f", str(script))),
    ):
        code, printed = run()
        files = [(tmp_path / name).read_text() for name in ("results.txt", "b.txt", "shell.txt")]
        outcomes.append((code, printed, files))
        for name in ("results.txt", "b.txt", "shell.txt"):
            (tmp_path / name).unlink()
    assert outcomes[0] == outcomes[1]


def test_the_end_of_a_script_that_fails(postgresql: PostgresServer, database: Path, tmp_path: Path) -> None:
    script = tmp_path / "fails.sql"
    script.write_text("SELECT 1 AS a;\nSELECT\n  nope;\nSELECT 2 AS b;\n")
    for value, stdout in (("1", "a\n1\n(1 row)\n"), ("0", "a\n1\n(1 row)\nb\n2\n(1 row)\n")):
        options = ("-A", "-v", f"ON_ERROR_STOP={value}", "-f", str(script))
        code, expected = psql(postgresql, *options)
        done = nestvec_sql(database, *options)
        assert done.stdout == expected == stdout
        assert f"{script}:3:" in done.stderr
        if value == "1":
            assert getattr(done.exception, "exit_code", None) == code == 3
        else:
            # psql forgets the error; a script that failed is not a success here.
            assert (code, done.exit_code) == (0, 1)
    for command in (("-c", "SELECT nope"), ("-c", "SELECT 1 AS a", "-c", "SELECT nope", "-c", "SELECT 2")):
        code, expected = psql(postgresql, "-At", "-v", "ON_ERROR_STOP=1", *command)
        done = nestvec_sql(database, "-At", "-v", "ON_ERROR_STOP=1", *command)
        assert (done.stdout, done.exception.exit_code) == (expected, code)  # type: ignore[union-attr]


def test_copy_with_null_and_empty_texts(postgresql: PostgresServer, database: Path, tmp_path: Path) -> None:
    rows = "(1, '', '[1,0]'), (2, NULL, '[0,1]'), (3, 'NULL', '[0,1]')"
    rows += ", (4, 'a,\"b\"' || chr(10) || 'c', '[1,1]')"
    script = (
        "CREATE TABLE {name} (id BIGINT PRIMARY KEY, t TEXT, v VECTOR(2));\n"
        f"INSERT INTO {{name}} VALUES {rows};\n"
        "\\copy {name} (id, t, v) TO {folder}/{kind}.csv WITH (FORMAT csv, HEADER true)\n"
        "\\copy (SELECT id, t FROM {name} ORDER BY id) TO '{folder}/{kind} 2.csv' "
        "WITH (FORMAT csv, HEADER true)\n"
        "DELETE FROM {name};\n"
        "\\copy {name} (id, t, v) FROM {folder}/psql.csv WITH (FORMAT csv, HEADER true)\n"
        "SELECT id, t, t IS NULL AS n FROM {name} ORDER BY id;\n"
        "DROP TABLE {name};\n"
    )
    texts = {kind: script.format(name="copied", folder=tmp_path, kind=kind) for kind in ("psql", "nestvec")}
    code, expected = psql(postgresql, "-A", script=texts["psql"])
    done = nestvec_sql(database, "-A", script=texts["nestvec"])
    assert (code, done.exit_code) == (0, 0), done.output
    assert done.stdout == expected
    assert (tmp_path / "psql 2.csv").read_text() == (tmp_path / "nestvec 2.csv").read_text()


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("\\c other", "start another with --uri"),
        ("\\du", "Users are managed in Milvus"),
        ("SELECT 1 \\crosstabview", "FILTER"),
        ("SELECT 1 \\gdesc", "DESCRIBE"),
        ("\\pset format html", "Available: table, aligned"),
        ("\\pset border 2", "Available:"),
        ("\\o |cat", "pipe nestvec sql"),
    ],
)
def test_commands_that_there_are_not(database: Path, command: str, instead: str) -> None:
    done = nestvec_sql(database, script=f"{command}\n")
    assert "not supported" in str(done.exception) or "not sent" in str(done.exception)
    assert instead in str(done.exception)
