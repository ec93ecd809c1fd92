"""Files as spreadsheets and databases write them, into a real Milvus Lite: by COPY and by the command."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nestvec.dbapi as dbapi
from nestvec_schemas.errors import NestvecError

ROWS = [(1, "größe", 5), (2, "two; with a delimiter", None), (3, "NA in a text", 7)]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "a.db"


@pytest.fixture(scope="module")
def connection(database: Path) -> Iterator[dbapi.Connection]:
    with dbapi.connect(str(database)) as connection:
        yield connection


@pytest.fixture
def cursor(connection: dbapi.Connection) -> Iterator[dbapi.Cursor]:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE t (id BIGINT PRIMARY KEY, text VARCHAR(200) NOT NULL, n BIGINT, "
            "v VECTOR(2) NOT NULL)"
        )
        yield cursor
        cursor.execute("DROP TABLE t")


def stored(cursor: dbapi.Cursor) -> list[tuple[object, ...]]:
    cursor.execute("SELECT id, text, n FROM t ORDER BY id LIMIT 100")
    return [tuple(row) for row in cursor.fetchall()]


def semicolons(encoding: str) -> bytes:
    lines = [
        "Nr;Text;Zahl;v;Bemerkung",
        '1;größe;5;"[1,0]";x',
        '2;"two; with a delimiter";NA;[1,0];',
        "3;NA in a text;7;[1,0];y",
    ]
    return ("\r\n".join(lines) + "\r\n").encode(encoding)


def test_copy_reads_what_a_spreadsheet_wrote(cursor: dbapi.Cursor, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes(semicolons("cp1252"))
    cursor.execute(
        f"COPY t FROM '{path}' WITH (FORMAT csv, HEADER, ENCODING 'cp1252', NULL 'NA', IGNORE_EXTRA, "
        "MAP ('Nr=id', 'Text=text', 'Zahl=n'))"
    )
    assert stored(cursor) == ROWS


def test_copy_of_columns_without_a_header(cursor: dbapi.Cursor, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(
        gzip.compress(
            "5|größe|1|[1,0]\nNA|'two; with a delimiter'|2|[1,0]\n7|NA in a text|3|[1,0]\n".encode()
        )
    )
    cursor.execute(
        f"COPY t (n, text, id, v) FROM '{path}' "
        "WITH (FORMAT csv, HEADER false, DELIMITER '|', QUOTE '''', NULL 'NA')"
    )
    assert stored(cursor) == ROWS


def test_copy_of_a_json_array_with_a_limit_and_rejects(cursor: dbapi.Cursor, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(
        json.dumps([{"id": n, "text": t, "n": "x" if n == 2 else 1, "v": [1, 0]} for n, t, _ in ROWS])
    )
    cursor.execute(f"COPY t FROM '{path}' WITH (ROW_LIMIT 2, REJECTS '{tmp_path / 'bad.jsonl'}')")
    assert stored(cursor) == [(1, "größe", 1)]
    (rejected,) = (tmp_path / "bad.jsonl").read_text().splitlines()
    assert json.loads(rejected)["row"] == {"id": 2, "text": "two; with a delimiter", "n": "x", "v": [1, 0]}


def test_copy_notes_replaced_rows_and_a_mapped_column_that_no_row_has(
    cursor: dbapi.Cursor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": 1, "text": t, "v": [1, 0]}) + "\n" for t in "ab"))
    cursor.execute(f"COPY t FROM '{path}' WITH (MAP ('Zahl=n'))")
    assert stored(cursor) == [(1, "b", None)]
    assert "later rows with the same keys replaced 1 of its rows" in caplog.text
    assert "None of the 2 rows that were read has a column Zahl, which is mapped to n" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("FORCE_NULL (a)", "COPY has no option of this name: FORCE_NULL"),
        ("DELIMITR ';'", "Did you mean 'DELIMITER'"),
        ("FORMAT xml", "unknown format: xml"),
        ("DELIMITER ';;'", "the delimiter is not one character"),
        ("HEADER maybe", "HEADER is true or false"),
        ("MAP 'a'", "MAP takes texts such as"),
        ("FORMAT csv, FORMAT csv", "FORMAT occurs twice"),
        ("ENCODING 'utf-9'", "no encoding of this name"),
        ("ROW_LIMIT 'x'", "ROW_LIMIT takes a number"),
        ("HEADER match", "does not match the columns"),
        ("DELIMITER 5", "DELIMITER takes a text in quotes"),
    ],
)
def test_an_option_that_is_wrong_is_named(
    cursor: dbapi.Cursor, tmp_path: Path, options: str, message: str
) -> None:
    (tmp_path / "rows.csv").write_text("id,n\n1,2\n")
    with pytest.raises(NestvecError, match=message):
        cursor.execute(f"COPY t FROM '{tmp_path / 'rows.csv'}' WITH ({options})")


def test_a_copy_that_cannot_be_continued_names_the_option_to_begin_again(
    cursor: dbapi.Cursor, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id,text,v\n1,a,"[1,0]"\n')
    (tmp_path / "rows.csv.t.ingest.json").write_text("{")
    with pytest.raises(NestvecError, match=r"is damaged.*Start from the first row with the option RESTART\."):
        cursor.execute(f"COPY t FROM '{path}'")
    cursor.execute(f"COPY t FROM '{path}' WITH (RESTART)")
    assert stored(cursor) == [(1, "a", None)]


def run(database: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    nestvec = str(Path(sys.executable).with_name("nestvec"))
    command = [nestvec, "ingest", *arguments, "--collection", "t", "--uri", str(database)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120)


def test_the_command_reads_pipes_and_says_what_a_dry_run_would_do(tmp_path: Path) -> None:
    database = tmp_path / "b.db"
    with dbapi.connect(str(database)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, text VARCHAR(200), v VECTOR(2) NOT NULL)")
    lines = b'id,text,v\n1,a,"[1,0]"\n2,"open,"[1,0]"\n3,c,"[1,0]"\n'
    checked = run(database, "-", "--format", "csv", "--dry-run", stdin=lines)
    assert checked.returncode == 0, checked.stderr
    assert b"2 rows can be stored in t; nothing was written." in checked.stdout
    assert b"line 3: the row is not CSV" in checked.stdout
    rejects = tmp_path / "bad.jsonl"
    done = run(database, "-", "--format", "csv", "--rejects", str(rejects), stdin=lines)
    assert done.returncode == 0, done.stderr
    assert json.loads(rejects.read_text())["row"] == '2,"open,"[1,0]"'
    (tmp_path / "c.tsv").write_text("id\ttext\tv\n4\td\t[1,0]\n")
    (tmp_path / "d.csv").write_text('id,text,v\n5,e,"[1,0]"\n')
    several = run(database, str(tmp_path / "c.tsv"), str(tmp_path / "d.csv"))
    assert several.returncode == 0, several.stderr
    with dbapi.connect(str(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, text FROM t ORDER BY id LIMIT 10")
        assert [tuple(row) for row in cursor.fetchall()] == [(1, "a"), (3, "c"), (4, "d"), (5, "e")]
