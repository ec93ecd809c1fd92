"""Rows of a text file, counted without parsing it, as the parser counts them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nestvec.datasets.readers import ReadOptions, open_source
from nestvec.ingest.row_count import RowCounter, row_counter

CELL = st.text('ab\n\r", é', max_size=6)


def feed(counter: RowCounter, data: bytes, size: int) -> int | None:
    for at in range(0, len(data), size):
        counter.feed(data[at : at + size])
    return counter.rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


def counted_and_read(
    folder: Path, name: str, data: bytes, size: int, options: ReadOptions | None = None
) -> tuple[int | None, int]:
    """(the rows of a file as counted, as read)"""
    path = folder / name
    path.write_bytes(data)
    source = open_source(path, options=options)
    counter = row_counter(source)
    return (None if counter is None else feed(counter, data, size)), sum(1 for _ in source.items())


@given(rows=st.lists(st.tuples(CELL, CELL), max_size=8), size=st.integers(1, 40), ended=st.booleans())
def test_rows_of_csv(rows: list[tuple[str, str]], size: int, ended: bool) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    data = text.getvalue().encode()
    assert feed(RowCounter('"', ","), data if ended else data.removesuffix(b"\n"), size) == len(rows)


@given(
    lines=st.lists(st.text('ab{}" \té', max_size=6), max_size=12), size=st.integers(1, 40), crlf=st.booleans()
)
def test_lines_of_json_with_something_on_them(folder: Path, lines: list[str], size: int, crlf: bool) -> None:
    data = ("\r\n" if crlf else "\n").join(lines).encode()
    counted, read = counted_and_read(folder, "rows.jsonl", data, size)
    assert counted == read


@given(body=st.text("ab,;\"\n\r '", max_size=40), size=st.integers(1, 40), quote=st.sampled_from("\"'"))
@example('1,"open\n2,b\n3,c\n', 7, '"')
@example('1,"open\n2,"b"\n3,c\n', 7, '"')
@example('1,27" tall\n2,b\n', 7, '"')
@example("1,a\r2,b\r", 7, '"')
def test_a_count_is_that_of_the_rows_or_none(folder: Path, body: str, size: int, quote: str) -> None:
    data = f"id,t\n{body}".encode()
    counted, read = counted_and_read(folder, "rows.csv", data, size, ReadOptions(delimiter=",", quote=quote))
    assert counted in (None, read + 1)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("ended", [True, False])
def test_encodings(folder: Path, encoding: str, ended: bool) -> None:
    text = '"id","t"\n1,größe\n2,"a\nb"' + "\n" * ended
    counted, read = counted_and_read(
        folder, "rows.csv", text.encode(encoding), 7, ReadOptions(encoding=encoding)
    )
    assert read == 2
    assert counted == (None if "16" in encoding else 3)
