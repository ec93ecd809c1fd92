"""CSV as Python's csv, pandas and DuckDB read it; a row that is no CSV is rejected alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nestvec.datasets.readers import ReadOptions, SourceRow, csv_rows, open_source
from nestvec.datasets.readers.delimiter import detect_delimiter
from nestvec.datasets.readers.rows import QuotedText
from nestvec_schemas.errors import FileUnreadable, RowRejected

CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.text(
    ',;\t|"\r\n a', max_size=6
)
ROWS = st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv")


def read(
    folder: Path, data: bytes | str, options: ReadOptions | None = None, *, skip: int = 0
) -> list[SourceRow]:
    path = folder / "rows.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(open_source(path, options=options).items(skip))


def cells(rows: list[SourceRow]) -> list[list[object]]:
    return [list(row.value.values()) for row in rows if not isinstance(row.value, RowRejected)]


def written(rows: list[list[str]], delimiter: str, end: str, quoting: int) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([["id", "t"], *rows])
    return file.getvalue()


@given(
    ROWS,
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_a_csv_writer_wrote_comes_back(
    folder: Path, rows: list[list[str]], delimiter: str, end: str, quoting: int
) -> None:
    text = written(rows, delimiter, end, quoting)
    same = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))[1:]
    assert cells(read(folder, text, ReadOptions(delimiter=delimiter))) == [
        row for row in same if len(row) == 2
    ]


@given(ROWS, st.sampled_from([",", ";", "\t", "|"]), st.integers(0, 9))
def test_pandas_reads_the_same(folder: Path, rows: list[list[str]], delimiter: str, skip: int) -> None:
    text = written(rows, delimiter, "\n", csv.QUOTE_ALL)
    frame = pd.read_csv(
        io.StringIO(text, newline=""), sep=delimiter, dtype=str, keep_default_na=False, na_filter=False
    )
    assert cells(read(folder, text, skip=skip)) == frame.to_numpy().tolist()[skip:]


@given(st.lists(st.lists(st.text('ab,;"é 漢\n', max_size=8), min_size=2, max_size=2), min_size=1, max_size=6))
def test_duckdb_reads_the_same(folder: Path, rows: list[list[str]]) -> None:
    ours = cells(read(folder, written(rows, ",", "\n", csv.QUOTE_ALL), ReadOptions(delimiter=",")))
    path = str(folder / "rows.csv")
    theirs = duckdb.read_csv(
        path, header=True, sep=",", quotechar='"', escapechar='"', all_varchar=True, na_values=["\x01"],
        max_line_size=1 << 20,
    )  # fmt: skip
    assert ours == [list(row) for row in theirs.fetchall()]


@given(st.text('ab",;\n', max_size=60))
def test_any_text_is_read_to_its_end(folder: Path, text: str) -> None:
    rows = read(folder, "id,t\n" + text + "\nlast,row\n", ReadOptions(delimiter=","))
    places = [
        int(part)
        for row in rows
        for part in row.place.removeprefix("lines ").removeprefix("line ").split("-")
    ]
    assert places == sorted(places)
    lines = ("id,t\n" + text + "\nlast,row\n").count("\n")
    # The last line is a row of its own, or the end of a quoted cell.
    assert places[-1] == lines
    assert all(row.raw for row in rows if isinstance(row.value, RowRejected))


@pytest.mark.parametrize(
    ("body", "accepted", "rejected"),
    [
        ('1,"open\n2,b\n3,c\n', [["2", "b"], ["3", "c"]], ["line 2"]),
        ('1,"open\n2,"b"\n3,c\n', [["2", "b"], ["3", "c"]], ["line 2"]),
        ('1,"open\n2,b\n3,"x"y\n4,d\n', [["2", "b"], ["4", "d"]], ["line 2", "line 4"]),
        ('1,a\n2,"27" tall"\n3,c\n', [["1", "a"], ["3", "c"]], ["line 3"]),
        ('1,"a\n\nb"\n2,c\n', [["1", "a\n\nb"], ["2", "c"]], []),
        ('1,"a ""quoted"" word"\n', [["1", 'a "quoted" word']], []),
        ('1,"o\n2,"p\n3,"q\n4,d\n', [["4", "d"]], ["line 2", "line 3", "line 4"]),
        ('"1","a\nb"c\n2,d\n', [["2", "d"]], ["lines 2-3"]),
        ('1,"open\n2,b\n3,",c"\n4,d\n', [["2", "b"], ["3", ",c"], ["4", "d"]], ["line 2"]),
        ('1,"open\n2,27" tall\n3,c\n', [["3", "c"]], ["lines 2-3"]),
        ('1,"a\nb",c\n2,d\n', [["2", "d"]], ["lines 2-3"]),
        ('1,27" tall\n', [["1", '27" tall']], []),
        ('"a\nb",27"\n3,c\n', [["a\nb", '27"'], ["3", "c"]], []),
    ],
)
def test_an_unclosed_quote_rejects_its_own_line(
    tmp_path: Path, body: str, accepted: list[list[str]], rejected: list[str]
) -> None:
    rows = read(tmp_path, "id,t\n" + body, ReadOptions(delimiter=","))
    assert cells(rows) == accepted
    assert [row.place for row in rows if isinstance(row.value, RowRejected)] == rejected


PLAIN = st.text("ab ,;'é", max_size=5)


@given(
    st.lists(st.tuples(PLAIN, PLAIN, PLAIN), min_size=1, max_size=8),
    st.integers(0, 8),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
)
@example([("", "", ",;")], 0, csv.QUOTE_ALL, "\n")
def test_no_other_row_is_lost_to_an_unclosed_quote(
    folder: Path, rows: list[tuple[str, str, str]], place: int, quoting: int, end: str
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["a", "b", "c"])
    writer.writerows(rows)
    lines = file.getvalue().splitlines(keepends=True)
    broken = min(place, len(rows)) + 1
    lines.insert(broken, f'x,"open,y{end}')
    found = read(folder, "".join(lines), ReadOptions(delimiter=","))
    assert [row.place for row in found if isinstance(row.value, RowRejected)] == [f"line {broken + 1}"]
    assert cells(found) == [list(row) for row in rows]


def test_a_quoted_cell_over_many_lines_is_legal_and_an_unclosed_one_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "\n".join(f"line {number}" for number in range(5_000))
    assert cells(read(tmp_path, f'id,t\n1,"{long}"\n2,b\n')) == [["1", long], ["2", "b"]]
    monkeypatch.setattr(csv_rows, "MAX_ROW_BYTES", 1_000)
    plain = "".join(f"{number},text\n" for number in range(2_000))
    rows = read(tmp_path, f'id,t\n0,"open\n{plain}')
    assert [row.place for row in rows if isinstance(row.value, RowRejected)] == ["line 2"]
    assert len(cells(rows)) == 2_000


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("id;t\n1;a, b\n2;c, d\n", ";"),
        ("id,t\n1,a;b\n2,c;d;e\n", ","),
        ("id\tt\n1\ta,b\n", "\t"),
        ("id|t\n1|a\n", "|"),
        ("t\na, b; c\n", ","),
        ('id;t\n1;"a;b\nc"\n2;d\n', ";"),
        ("id;name,alt;t\n1;a;b\n2;c;d\n", ";"),
        ("id,t", ","),
    ],
)
def test_the_delimiter_is_detected(text: str, delimiter: str) -> None:
    assert detect_delimiter(text, '"', complete=True) == delimiter


def test_options_say_what_the_file_does_not(tmp_path: Path) -> None:
    options = ReadOptions(delimiter="^", quote="'", escape="\\", nulls=("NA", ""))
    assert cells(read(tmp_path, "id^t\n1^'it\\'s ^'\nNA^\n", options)) == [["1", "it's ^"], [None, None]]
    options = ReadOptions(delimiter=",", quote="none")
    assert cells(read(tmp_path, 'id,t\n1,"a\n', options)) == [["1", '"a']]
    options = ReadOptions(columns=("id", "t"))
    rows = read(tmp_path, "1,a\n2,b\n", options)
    assert [row.value for row in rows] == [{"id": "1", "t": "a"}, {"id": "2", "t": "b"}]
    assert len(read(tmp_path, "1,a\n2,b\n", ReadOptions(columns=("id", "t"), limit=1))) == 1


def test_null_is_not_in_quotes(tmp_path: Path) -> None:
    """As in PostgreSQL; the index says which of the texts were marked as written in quotes."""
    text = 'a,b,c\n"",,"x ""y"", z"\n,"","many\nlines"\n"NA",NA,"NA"\n1,2,""\n'
    marked = [
        [isinstance(cell, QuotedText) for cell in row.value.values()]
        for row in read(tmp_path, text)
        if not isinstance(row.value, RowRejected)
    ]
    assert marked == [[True, False, False], [False, True, False], [False] * 3, [False, False, True]]
    assert cells(read(tmp_path, text, ReadOptions(nulls=("NA", "")))) == [
        ["", None, 'x "y", z'],
        [None, "", "many\nlines"],
        ["NA", None, "NA"],
        ["1", "2", ""],
    ]
    escaped = ReadOptions(quote="'", escape="\\", delimiter=",", nulls=("",))
    assert cells(read(tmp_path, "a,b\n'',\n,'it\\'s, '\n", escaped)) == [["", None], [None, "it's, "]]


def test_a_limit_counts_from_the_start_of_the_file(tmp_path: Path) -> None:
    text = "id\n" + "".join(f"{number}\n" for number in range(9))
    for skip in range(7):
        rows = read(tmp_path, text, ReadOptions(limit=5), skip=skip)
        assert cells(rows) == [[str(number)] for number in range(skip, 5)]


def test_an_index_that_pandas_wrote_has_a_name(tmp_path: Path) -> None:
    pd.DataFrame({"id": [1], "t": ["a"]}).to_csv(tmp_path / "p.csv")
    assert open_source(tmp_path / "p.csv").columns == ("Unnamed: 0", "id", "t")


@pytest.mark.parametrize("delimiter", ["", "ab", "\n", '"'])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    with pytest.raises(FileUnreadable, match="delimiter"):
        ReadOptions(delimiter=delimiter)


def test_a_byte_that_is_not_utf8_rejects_its_row_alone(tmp_path: Path) -> None:
    rows = read(tmp_path, "id,t\n1,é\n2,".encode() + b"caf\xe9\n3,c\n")
    assert cells(rows) == [["1", "é"], ["3", "c"]]
    assert "byte 0xE9 at byte 6 of the row" in str(rows[1].value)
    assert "--encoding" in str(rows[1].value)
    assert rows[1].raw == "2,caf\\xe9"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_options_of_csv_mean_nothing_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileUnreadable, match="a delimiter is an option of CSV and TSV files only"):
        open_source(tmp_path / name, options=ReadOptions(delimiter=","))
