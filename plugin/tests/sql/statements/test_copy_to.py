"""Lines of CSV that COPY … TO and the shell write."""

from __future__ import annotations

import csv
import io

import pytest

from nestvec.sql.statements.dml.copy_to import write_csv_line

CELLS = ["a", "x\ny", "\n", "x\r\ny", "\r", "a,b", '"', "", " a ", "é"]


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_texts_with_line_ends_and_delimiters_are_read_back(delimiter: str) -> None:
    file = io.StringIO()
    write_csv_line(file, delimiter, "", CELLS)
    write_csv_line(file, delimiter, "", ["next"])
    read = csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=delimiter)
    assert list(read) == [CELLS, ["next"]]


def test_null_is_apart_from_an_empty_text() -> None:
    file = io.StringIO()
    write_csv_line(file, ",", "", [None, "", "plain"])
    assert file.getvalue() == ',"",plain\n'
