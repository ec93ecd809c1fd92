from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.pgwire.copying.formats import copy_reader, write_header, write_row, write_trailer
from nestvec.pgwire.copying.syntax import CopyStreamOptions, is_copy_stream, parse_copy
from nestvec.pgwire.errors import PgError

TEXT = CopyStreamOptions()
CSV = CopyStreamOptions(format="csv", delimiter=",", null="")
SEMICOLON = CopyStreamOptions(format="csv", delimiter=";", null="NIL", quote="'", escape="\\")
BINARY = CopyStreamOptions(format="binary")
VALUE = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12).map(
    str.encode
)
ROWS = st.integers(1, 4).flatmap(
    lambda count: st.lists(st.lists(VALUE, min_size=count, max_size=count), max_size=5)
)


def _written(rows: list[list[bytes | None]], options: CopyStreamOptions) -> bytes:
    return b"".join(
        (write_header([], options), *(write_row(row, options) for row in rows), write_trailer(options))
    )


def _read(data: bytes, options: CopyStreamOptions, size: int) -> list[list[bytes | None]]:
    reader, rows = copy_reader(options), list[list[bytes | None]]()
    for at in range(0, len(data), size):
        rows += reader.feed(data[at : at + size])
    return [*rows, *reader.finish()]


@settings(max_examples=400)
@given(ROWS, st.sampled_from((TEXT, CSV, SEMICOLON, BINARY)), st.integers(1, 40))
def test_rows_are_read_as_they_were_written(
    rows: list[list[bytes | None]], options: CopyStreamOptions, size: int
) -> None:
    assert _read(_written(rows, options), options, size) == rows


def test_a_delimiter_is_one_byte() -> None:
    with pytest.raises(PgError, match="one-byte"):
        parse_copy("COPY t FROM STDIN (DELIMITER 'é')")


@given(st.lists(st.lists(st.text("a,\"'\n \\x", max_size=6), min_size=2, max_size=2), max_size=4))
def test_csv_is_that_of_other_programs(rows: list[list[str]]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    read = _read(file.getvalue().encode(), CSV, 7)
    assert [[(value or b"").decode() for value in row] for row in read] == rows


@settings(max_examples=300)
@given(st.binary(max_size=80), st.sampled_from((TEXT, CSV, SEMICOLON, BINARY)), st.integers(1, 20))
def test_no_bytes_lead_to_another_error(data: bytes, options: CopyStreamOptions, size: int) -> None:
    try:
        _read(data, options, size)
    except PgError as error:
        assert error.sqlstate in ("22P04", "54000")


def test_null_and_empty_differ() -> None:
    assert _read(b'1,\n2,""\n', CSV, 100) == [[b"1", None], [b"2", b""]]
    assert _read(b"1\t\\N\n2\t\n", TEXT, 100) == [[b"1", None], [b"2", b""]]


def test_a_header_and_the_end_of_data_are_no_rows() -> None:
    options = CopyStreamOptions(format="csv", header=True, delimiter=",", null="")
    assert _read(b"a,b\r\n1,2\r\n\\.\r\n3,4\r\n", options, 3) == [[b"1", b"2"]]


def test_escapes_of_the_text_format() -> None:
    assert _read(rb"a\tb\x41\101\\" + b"\t" + rb"\n" + b"\n", TEXT, 4) == [[b"a\tbAA\\", b"\n"]]
    assert _read(rb"\8\9\x" + b"\n", TEXT, 4) == [[b"89x"]]


@pytest.mark.parametrize(
    ("sql", "format_", "options"),
    [
        ("COPY t FROM STDIN", "text", {"delimiter": "\t", "null": "\\N"}),
        (
            "COPY  t (a, \"B c\") FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';');",
            "csv",
            {"header": True},
        ),
        (
            "copy t from stdin csv header delimiter as '|' null 'NIL'",
            "csv",
            {"delimiter": "|", "null": "NIL"},
        ),
        ("COPY t TO STDOUT (FORMAT 'binary')", "binary", {}),
        ("COPY (SELECT a FROM t WHERE b = 'x)') TO STDOUT WITH CSV", "csv", {"delimiter": ","}),
        ("COPY t FROM STDIN WITH DELIMITER E'\\t'", "text", {"delimiter": "\t"}),
        ("COPY t FROM STDIN WITH (FORMAT text, HEADER false)", "text", {"header": False}),
        ("COPY t FROM STDIN (FORMAT csv, ESCAPE '\\')", "csv", {"escape": "\\"}),
        ("COPY t FROM STDIN WITH CSV NULL E'\\'' ESCAPE '\\' ", "csv", {"escape": "\\", "null": "'"}),
    ],
)
def test_statements(sql: str, format_: str, options: dict[str, object]) -> None:
    assert is_copy_stream(sql)
    copy = parse_copy(sql)
    assert copy.options.format == format_
    for name, value in options.items():
        assert getattr(copy.options, name) == value


def test_names_and_query_are_those_of_the_statement() -> None:
    assert parse_copy('COPY t (a, "B c") FROM STDIN').columns == ("a", '"B c"')
    assert parse_copy("COPY (SELECT (1)) TO STDOUT").query == "SELECT (1)"


@pytest.mark.parametrize(
    "sql", ["COPY t FROM 'file.csv'", "SELECT 1", "COPY t TO PROGRAM 'x'", "COPYX t FROM STDIN"]
)
def test_other_statements_do_not_stream(sql: str) -> None:
    assert not is_copy_stream(sql)


@pytest.mark.parametrize(
    ("options", "sqlstate"),
    [
        ("(FORMAT xml)", "22023"),
        ("(DELIMITER '::')", "0A000"),
        ("(FREEZE)", "0A000"),
        ("(ENCODING 'latin1')", "0A000"),
        ("CSV NULL", "42601"),
        ("WITH whatever", "42601"),
        ("(FORMAT csv, QUOTE ',')", "22023"),
    ],
)
def test_wrong_options_are_errors(options: str, sqlstate: str) -> None:
    with pytest.raises(PgError) as raised:
        parse_copy(f"COPY t FROM STDIN {options}")
    assert raised.value.sqlstate == sqlstate
