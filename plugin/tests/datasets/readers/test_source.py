"""Readers: what goes in comes out, rows that cannot be read are named, and nothing else escapes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.datasets.readers import SourceRow, csv_rows, json_rows, open_source
from nestvec_schemas.errors import FileUnreadable, NestvecError, RowRejected

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


def read(folder: Path, data: bytes, kind: str, skip: int = 0) -> list[SourceRow]:
    path = folder / f"rows.{kind}"
    path.write_bytes(data)
    return list(open_source(path).items(skip))


def values(items: list[SourceRow]) -> list[object]:
    return [str(one.value) if isinstance(one.value, RowRejected) else one.value for one in items]


@given(st.lists(st.dictionaries(TEXT, VALUES | st.lists(VALUES, max_size=3), max_size=4), max_size=5))
def test_jsonl_comes_back(folder: Path, rows: list[dict[str, object]]) -> None:
    data = "\n".join(json.dumps(row) for row in rows).encode()
    assert values(read(folder, data, "jsonl")) == rows


@given(st.lists(st.lists(TEXT, min_size=2, max_size=2), max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_csv_comes_back(folder: Path, rows: list[list[str]], end: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b c"], *rows])
    found = values(read(folder, file.getvalue().encode("utf-8-sig"), "csv"))
    assert found == [{"a": left, "b c": right} for left, right in rows]


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), TEXT | st.none()), max_size=9), st.integers(1, 4))
def test_parquet_comes_back_after_any_skip(
    folder: Path, rows: list[tuple[int, str | None]], group: int
) -> None:
    keys = pa.array([row[0] for row in rows], pa.int64())
    texts = pa.array([row[1] for row in rows], pa.string())
    table = pa.table({"id": keys, "t": texts})
    path = folder / "rows.parquet"
    pq.write_table(table, path, row_group_size=group)
    source = open_source(path)
    assert (source.columns, source.total) == (("id", "t"), len(rows))
    for skip in range(len(rows) + 2):
        found = list(source.items(skip))
        assert values(found) == [{"id": key, "t": text} for key, text in rows[skip:]]
        assert [one.place for one in found] == [f"row {n + 1}" for n in range(skip, len(rows))]


@given(st.binary(max_size=300), st.sampled_from(["jsonl", "csv", "parquet"]), st.integers(0, 5))
def test_any_bytes_give_rows_or_one_of_our_errors(folder: Path, data: bytes, kind: str, skip: int) -> None:
    try:
        for one in read(folder, data, kind, skip):
            assert isinstance(one.value, (dict, RowRejected))
    except NestvecError as error:
        assert isinstance(error, FileUnreadable)


@given(st.data())
def test_a_damaged_parquet_file_is_one_of_our_errors(folder: Path, data: st.DataObject) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2, 3], "t": ["a", "b", "c"]}), file)
    whole = bytearray(file.getvalue())
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[position] ^= data.draw(st.integers(1, 255))
    try:
        read(folder, bytes(whole), "parquet")
    except NestvecError as error:
        assert isinstance(error, FileUnreadable)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_skipping_gives_the_rest_with_the_same_places(folder: Path, kind: str) -> None:
    head, rows = {
        "jsonl": ("", ['{"a": 1}', "", "not json", "[1]", '{"a": 2}']),
        "csv": ("a,b\n", ["1,2", "", "3", '4,"x\ny"', '5,"a"b', "6,7"]),
    }[kind]
    data = (head + "\n".join(rows)).encode()
    whole = read(folder, data, kind)
    for skip in range(len(whole) + 2):
        rest = read(folder, data, kind, skip)
        assert (values(rest), [one.place for one in rest]) == (
            values(whole[skip:]),
            [one.place for one in whole[skip:]],
        )


def test_jsonl_lines_that_are_no_rows(folder: Path) -> None:
    data = b'\xef\xbb\xbf{"a": 1}\n\n{"a": NaN}\n[1]\n"\xff"\n{"a": "\\ud800"}\n' + b'{"a":' * 2000 + b"\n"
    found = read(folder, data, "jsonl")
    assert [one.place for one in found] == ["line 1", "line 3", "line 4", "line 5", "line 6", "line 7"]
    assert found[0].value == {"a": 1}
    said = values(found)
    assert "is not JSON" in str(said[1])
    assert "is not a JSON object: list" in str(said[2])
    assert "the row is not UTF-8: byte 0xFF at byte 2 of the row" in str(said[3])
    assert all("is not JSON" in str(one) for one in said[4:])
    assert found[3].raw == '"\\xff"'


def test_a_csv_row_with_the_wrong_number_of_cells_is_rejected_alone(folder: Path) -> None:
    found = read(folder, b"id,t\n1,a\n2\n3,b,c\n4,d\n", "csv")
    assert [one.place for one in found] == ["line 2", "line 3", "line 4", "line 5"]
    assert [isinstance(one.value, RowRejected) for one in found] == [False, True, True, False]
    assert "the row has 3 cells, the header 2" in str(found[2].value)
    assert found[2].raw == "3,b,c"


def test_a_csv_row_over_several_lines_says_which(folder: Path) -> None:
    found = read(folder, b'id,t\n1,"a\nb"\n2,"x"y\n3,"open\n', "csv")
    assert [one.place for one in found] == ["lines 2-3", "line 4", "line 5"]
    assert found[0].value == {"id": "1", "t": "a\nb"}
    assert "is not CSV" in str(found[1].value)
    assert "is not CSV: a quoted cell is not closed" in str(found[2].value)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_line_too_long_is_rejected_and_the_next_is_read(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "MAX_ROW_BYTES", 100)
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 100)
    rows = {"jsonl": ('{"a": "%s"}', ""), "csv": ("%s", "a\n")}[kind]
    data = (rows[1] + rows[0] % ("x" * 5000) + "\n" + rows[0] % "y").encode()
    found = read(folder, data, kind)
    assert "longer than 16 MiB" in str(found[0].value)
    assert found[1].value == {"a": "y"}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.txt", b"", "unknown format: .txt.*--format: jsonl, json, csv, tsv, parquet"),
        ("x", b"", "no extension"),
        ("x.parqet", b"", "Did you mean 'parquet'"),
        ("x.csv", b"", "is empty. Write the columns' names in the first row"),
        ("x.csv", b"a,a\n", "two columns of the same name: a"),
        ("x.csv", b'"a"b\n', "does not name its columns"),
        ("x.parquet", b"PAR1 not", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FileUnreadable, match=said):
        open_source(tmp_path / name)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_file_that_is_not_there(tmp_path: Path, kind: str) -> None:
    with pytest.raises(FileUnreadable, match="No such file"):
        open_source(tmp_path / f"none.{kind}")


def test_a_parquet_value_that_python_has_no_type_for_rejects_its_row(tmp_path: Path) -> None:
    far = pa.array([0, 2**62, 1], pa.timestamp("us"))
    pq.write_table(pa.table({"id": [1, 2, 3], "at": far}), tmp_path / "t.parquet")
    found = list(open_source(tmp_path / "t.parquet").items())
    assert [isinstance(one.value, RowRejected) for one in found] == [False, True, False]
