"""Rows that are read from a position are those that are read from the beginning, with their places."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nestvec.datasets.readers import ReadOptions, SourceRow, csv_rows, json_rows, open_source
from nestvec_schemas.errors import FileUnreadable, RowRejected

_PIECES = (b"\n", b"\r\n", b"\r", b"\n\n", b" ", b"\x0b", b"\x1c", "\x85\u2028".encode(), b"\xff", b"\xc3")
_JSON_PIECES = (b'{"a": 1}\n', '{"a": "é"}\n'.encode(), b'{"a": "\xe2\x82"}\n', b"[", b'"', b"x" * 50)
_CSV_PIECES = (
    b"1,2\n",
    "é,ü\r\n".encode(),
    b'"a\nb",2\n',
    b'"a\r\nb",2\r',
    b'"a""b",\n',
    b'"',
    b",",
    b'1,"open\n',
    b"\\",
    b"x" * 50,
    b"\xe2\x82\n",
    b"\0",
)
JSON_LINES = st.lists(st.sampled_from(_PIECES + _JSON_PIECES), max_size=24).map(b"".join)
CSV_LINES = st.lists(st.sampled_from(_PIECES + _CSV_PIECES), max_size=24).map(b"".join)
MARKS = st.sampled_from([b"", codecs.BOM_UTF8])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("positions")


@pytest.fixture(scope="module", autouse=True)
def short_rows() -> Iterator[None]:
    """Rows that are too long are common."""
    patch = pytest.MonkeyPatch()
    for module in (csv_rows, json_rows):
        patch.setattr(module, "MAX_ROW_BYTES", 40)
    yield
    patch.undo()


def contents(rows: Iterator[SourceRow]) -> list[tuple[str, object, str]]:
    return [
        (row.place, str(row.value) if isinstance(row.value, RowRejected) else row.value, row.raw)
        for row in rows
    ]


def check(path: Path, options: ReadOptions, every: int) -> int:
    """How many positions there are, after each of which the rows were compared."""
    try:
        source = open_source(path, options=options)
        expected = contents(source.items())
    except FileUnreadable:
        return 0
    positions = list(source.positions(every) or ())
    assert [position.rows for position in positions] == list(range(every, len(expected) + 1, every))
    for position in positions:
        assert contents(source.items(position)) == expected[position.rows :]
    return len(positions)


@given(MARKS, JSON_LINES, st.integers(1, 3))
@example(b"", b'{"a": 1}\n' + b"x" * 90 + b"\n\n" + b'{"a": 2}', 1)
def test_lines_of_json(folder: Path, mark: bytes, lines: bytes, every: int) -> None:
    path = folder / "rows.jsonl"
    path.write_bytes(mark + lines)
    check(path, ReadOptions(), every)


@given(
    MARKS,
    st.sampled_from([b"a,b\n", b'"a\nx",b\r', b"a\n"]),
    CSV_LINES,
    st.integers(1, 3),
    st.sampled_from(
        [
            ReadOptions(),
            ReadOptions(escape="\\"),
            ReadOptions(quote="none"),
            ReadOptions(columns=("c", "d"), encoding="utf-8"),
            ReadOptions(quote="|"),
        ]
    ),
)
@example(b"", b"a,b\n", b'1,"open\n' + b"x" * 90 + b",\n3,4\n5,6\n", 1, ReadOptions())
def test_lines_of_csv(
    folder: Path, mark: bytes, header: bytes, lines: bytes, every: int, options: ReadOptions
) -> None:
    path = folder / "rows.csv"
    path.write_bytes(mark + header + lines)
    check(path, options, every)


def test_there_are_positions_where_rows_begin_anew(folder: Path) -> None:
    path = folder / "plain.csv"
    path.write_bytes(codecs.BOM_UTF8 + 'a,b\n1,"x\ny"\n\n2,é\n\xff,3\r\n4,5\n'.encode("latin-1"))
    assert check(path, ReadOptions(), 1) == 4


def test_no_position_of_other_encodings_and_compressed_files(folder: Path) -> None:
    with gzip.open(folder / "rows.jsonl.gz", "wb") as file:
        file.write(b'{"a": 1}\n')
    (folder / "wide.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    (folder / "latin.csv").write_bytes("a,b\né,2\n".encode("latin-1"))
    (folder / "array.json").write_bytes(b'[{"a": 1}]')
    for name, encoding in (
        ("rows.jsonl.gz", None),
        ("wide.csv", None),
        ("latin.csv", "latin-1"),
        ("array.json", None),
    ):
        source = open_source(folder / name, options=ReadOptions(encoding=encoding))
        assert source.positions(1) is None
        assert len(list(source.items())) == 1


def test_a_long_line_after_an_open_quote_hides_no_row(folder: Path) -> None:
    """The rest of a line that is too long was skipped again when the line was read again."""
    path = folder / "long.csv"
    path.write_bytes(b'a,b\n1,"open\n' + b"x" * 90 + b",\n3,4\n5,6\n")
    rows = contents(open_source(path).items())
    assert [row[0] for row in rows] == ["line 2", "line 3", "line 4", "line 5"]
    assert rows[2][1] == {"a": "3", "b": "4"}
