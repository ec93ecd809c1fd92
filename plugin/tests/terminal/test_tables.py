from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.terminal.tables import fitted, print_table


def test_long_texts_give_way_and_numbers_do_not() -> None:
    cells = [["1", "x" * 20, "word " * 100], ["22", "y", "z"]]
    shown = fitted(["id", "name", "doc"], cells, 60, [True, False, False])
    assert shown[0][:2] == ["1", "x" * 20]
    assert shown[0][2].endswith("…")
    assert 2 + 20 + len(shown[0][2]) + 10 == 60
    assert shown[1] == cells[1]


tables = st.integers(1, 5).flatmap(
    lambda count: st.tuples(
        st.lists(st.text("abc", min_size=1, max_size=9), min_size=count, max_size=count),
        st.lists(st.lists(st.text("xyz", max_size=90), min_size=count, max_size=count), max_size=5),
        st.lists(st.booleans(), min_size=count, max_size=count),
    )
)


@given(table=tables, width=st.integers(1, 150))
def test_a_table_is_no_wider_than_asked_or_cut_as_far_as_it_goes(
    table: tuple[list[str], list[list[str]], list[bool]], width: int
) -> None:
    columns, cells, keep = table
    shown = fitted(columns, cells, width, keep)
    widths = [max([len(name), *(len(row[at]) for row in shown)]) for at, name in enumerate(columns)]
    least = [max(8, len(name)) for name in columns]
    cut_out = all(kept or wide <= low for kept, wide, low in zip(keep, widths, least, strict=True))
    assert cut_out or sum(widths) + 3 * len(widths) + 1 <= width
    for at, kept in enumerate(keep):
        assert not kept or [row[at] for row in shown] == [row[at] for row in cells]


def test_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["rank", "score", "name"], [(1, 0.5, "one\ntwo"), (2, None, "long " * 50)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert {len(line) for line in lines} == {100}
    assert lines[3].split() == ["│", "1", "│", "0.5000", "│", "one", "two", "│"]
    assert lines[4].startswith("│    2 │        │ long long")
