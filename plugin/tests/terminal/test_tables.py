"""Tables fit the terminal, and nothing is cut or wrapped in a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.terminal import tables
from nestvec.terminal.tables import (
    TextTable,
    fit_widths,
    print_table,
    print_text_table,
    total_width,
    without_empty_columns,
)
from nestvec.terminal.wrapping import text_width

PAPERS = TextTable(
    ("id", "title", "note", "score"),
    (("1", "read rows of a csv file", None, "2.2"), ("22", None, None, "1.23e-05")),
    (True, False, False, True),
    "NULL",
)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "terminal_width", lambda: 40)


def printed(
    capsys: pytest.CaptureFixture[str], table: TextTable, expanded: tables.Expanded = "auto"
) -> list[str]:
    print_text_table(table, expanded)
    return capsys.readouterr().out.splitlines()


def test_long_texts_give_way_and_numbers_do_not() -> None:
    table = TextTable(
        ("id", "name", "doc"), (("1", "x" * 20, "word " * 100), ("22", "y", "z")), (True, False, False)
    )
    widths = fit_widths(table, 60)
    assert widths is not None
    assert widths[:2] == [2, 20]
    assert total_width(widths) == 60


text_tables = st.integers(1, 5).flatmap(
    lambda count: st.builds(
        TextTable,
        st.tuples(*[st.text("abc", min_size=1, max_size=9)] * count),
        st.lists(st.tuples(*[st.none() | st.text("xyz \n語", max_size=90)] * count), max_size=5).map(tuple),
        st.tuples(*[st.booleans()] * count),
        st.just("NULL"),
    )
)


@given(table=text_tables, width=st.integers(1, 150))
def test_widths_fit_or_there_is_no_way(table: TextTable, width: int) -> None:
    natural, widths = table.widths(), fit_widths(table, width)
    floors = [
        wide if numeric else max(len(name), min(wide, 16))
        for name, wide, numeric in zip(table.columns, natural, table.numeric, strict=True)
    ]
    if widths is None:
        assert total_width(floors) > width
        return
    assert total_width(widths) <= width
    for low, wide, high in zip(floors, widths, natural, strict=True):
        assert low <= wide <= high
    if total_width(natural) <= width:
        assert widths == natural


@given(table=text_tables)
def test_nothing_is_lost_in_a_file(table: TextTable) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr(tables, "terminal_width", lambda: None)
        patch.setattr(tables, "_print_grid", lambda shown, widths, title: lines.append(repr((shown, widths))))
        print_text_table(table)
    assert lines == [repr((table, table.widths()))]


def test_a_row_is_a_line_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["rank", "score", "name"], [(1, 0.5, "one"), (2, None, "long " * 50)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[3].split() == ["│", "1", "│", "0.5000", "│", "one", "│"]
    assert "long " * 50 in lines[4]


def test_a_table_that_fits_keeps_its_empty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, PAPERS)
    assert lines[1] == "┃ id ┃ title                   ┃ note ┃    score ┃"
    assert lines[4].split() == ["│", "22", "│", "NULL", "│", "NULL", "│", "1.23e-05", "│"]


@pytest.mark.usefixtures("narrow")
def test_a_table_that_is_too_wide_loses_empty_columns_and_is_wrapped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert print_text_table(PAPERS) == ("note",)
    lines = capsys.readouterr().out.splitlines()
    assert "note" not in lines[1]
    assert max(map(text_width, lines)) <= 40
    assert "│ read rows of " in lines[3]
    assert "file" in lines[4]


@pytest.mark.usefixtures("narrow")
def test_a_table_that_cannot_be_wrapped_is_expanded(capsys: pytest.CaptureFixture[str]) -> None:
    wide = TextTable(tuple("abcd"), (("some words of text",) * 4,), (False,) * 4)
    lines = printed(capsys, wide)
    assert lines[0].startswith("─[ row 1 ]─")
    assert lines[1:] == [f"{name} │ some words of text" for name in "abcd"]
    tall = TextTable(("id", "text"), (("1", "word " * 80),), (True, False))
    lines = printed(capsys, tall)
    assert lines[0].startswith("─[ row 1 ]─")
    assert max(map(text_width, lines)) <= 40
    assert " ".join(line[7:].strip() for line in lines[2:]) == ("word " * 80).strip()
    assert "┃ text" in printed(capsys, tall, "off")[1]


def test_expanded_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, PAPERS, "on") == [
        "─[ row 1 ]─────────────────────",
        "id    │ 1",
        "title │ read rows of a csv file",
        "note  │ NULL",
        "score │ 2.2",
        "─[ row 2 ]─────────────────────",
        "id    │ 22",
        "title │ NULL",
        "note  │ NULL",
        "score │ 1.23e-05",
    ]
    lines = printed(capsys, TextTable(("text",), (("one\n\ntwo",),), (False,)), "on")
    assert lines[1:] == ["text │ one", "     │ ", "     │ two"]


def test_columns_without_a_value_are_dropped() -> None:
    assert without_empty_columns(PAPERS).columns == ("id", "title", "score")
    no_rows = TextTable(("id",), (), (False,))
    assert without_empty_columns(no_rows) == no_rows
    nothing = TextTable(("id",), ((None,),), (False,))
    assert without_empty_columns(nothing) == nothing


def test_figures_keep_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "b", "c", "d"], [(0.5, 1.234e-05, True, "\x1b[31mred")])
    assert capsys.readouterr().out.splitlines()[3].split() == [
        "│", "0.5000", "│", "1.23e-05", "│", "yes", "│", "\\x1b[31mred", "│",
    ]  # fmt: skip
