"""Rows of a text file, counted without parsing it, as the parser counts them."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from nestvec.ingest.row_count import RowCounter

CELL = st.text('ab\n\r", é', max_size=6)


def count(data: bytes, size: int, quote: str = "") -> int:
    counter = RowCounter(quote)
    for at in range(0, len(data), size):
        counter.feed(data[at : at + size])
    return counter.rows


@given(rows=st.lists(st.tuples(CELL, CELL), max_size=8), size=st.integers(1, 40), ended=st.booleans())
def test_rows_of_csv(rows: list[tuple[str, str]], size: int, ended: bool) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    data = text.getvalue().encode()
    assert count(data if ended else data.removesuffix(b"\n"), size, '"') == len(rows)


@given(
    lines=st.lists(st.text('ab{}" é', max_size=6), max_size=12), size=st.integers(1, 40), crlf=st.booleans()
)
def test_lines_with_something_on_them(lines: list[str], size: int, crlf: bool) -> None:
    data = ("\r\n" if crlf else "\n").join(lines).encode()
    assert count(data, size) == sum(bool(line) for line in lines)
