"""Results as tables, JSON and CSV; parameters from the command line."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import click
import pytest

from nestvec.shell.print_result import OutputFormat, cell, print_result, result_summary
from nestvec.shell.psql_tables import PrintOptions
from nestvec.shell.variables import parse_params
from nestvec.sql import StatementResult

ANSWER = StatementResult(
    ("id", "title", "tags", "v"),
    ("INT64", "VARCHAR", "ARRAY", "FLOAT_VECTOR"),
    ((1, 'a "b", c', ["x"], [0.125, -0.5, 1.0, 2.0]), (2, None, [], [1.0, 0.0, 0.0, 0.0])),
    "SELECT 2",
    2,
    seconds=0.0123,
)


def shown(form: OutputFormat, capsys: pytest.CaptureFixture[str], answer: StatementResult = ANSWER) -> str:
    print_result(answer, form)
    return capsys.readouterr().out


def test_a_vector_is_summarised() -> None:
    assert cell([0.125, -0.5, 1.0, 2.0]) == "[0.125, -0.5, 1, … 4 dims]"
    assert [cell(value) for value in (None, 1, "a", [1, "a"])] == [None, "1", "a", '[1,"a"]']
    assert cell({"a": {1: None}}) == '{"a":{"1":null}}'
    assert cell([b"\x01\xff"]) == '["\\\\x01ff"]'


def test_a_table_and_its_expanded_form(capsys: pytest.CaptureFixture[str]) -> None:
    table = shown("table", capsys)
    assert "[0.125, -0.5, 1, … 4 dims]" in table
    assert len(table.splitlines()) == 6
    assert table.splitlines()[4].split()[:5] == ["│", "2", "│", "NULL", "│"]
    print_result(ANSWER, "table", "on")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" │ ") for line in lines[1:3]] == [["id   ", "1"], ["title", 'a "b", c']]
    assert lines[5].startswith("─[ row 2 ]─")


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (None, "VARCHAR", None),
        ("", "VARCHAR", ""),
        (True, "BOOL", "t"),
        (False, "BOOL", "f"),
        (2.200000047683716, "FLOAT", "2.2"),
        (2.200000047683716, "DOUBLE", "2.200000047683716"),
        (1.23e-05, "DOUBLE", "1.23e-05"),
        (3.0, "ANY", "3"),
        ({5: 0.25, 1: 2.0, 9: 0.5, 7: 0.125}, "SPARSE_FLOAT_VECTOR", "{1: 2, 9: 0.5, 5: 0.25, … 4 weights}"),
        ("a\x1b[31m", "VARCHAR", "a\\x1b[31m"),
    ],
)
def test_values_are_printed_as_postgresql_prints_them(
    value: object, type_: str, expected: str | None
) -> None:
    assert cell(value, type_) == expected


def test_null_differs_from_the_empty_text(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ((None, "", 0.5), ("", None, 1.0))
    print_result(StatementResult(("a", "b", "n"), ("VARCHAR", "VARCHAR", "FLOAT"), rows), "table")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[3:5]] == [
        ["│", "NULL", "│", "│", "0.5", "│"],
        ["│", "│", "NULL", "│", "1", "│"],
    ]


def test_names_of_columns_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(StatementResult(("a\nb\x1b[31m",), ("INT64",), ((1,),)), "table")
    assert "a\\nb\\x1b[31m" in capsys.readouterr().out


def test_columns_left_out_on_a_narrow_terminal_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nestvec.terminal.tables.terminal_width", lambda: 40)
    rows = ((1, "read the rows of a csv file", None),)
    print_result(StatementResult(("id", "title", "note"), ("INT64", "VARCHAR", "VARCHAR"), rows), "table")
    captured = capsys.readouterr()
    assert "note" not in captured.out
    assert captured.err == "Empty columns are not shown: note.\n"


def test_json_and_csv_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(shown("json", capsys)) == [
        dict(zip(ANSWER.columns, row, strict=True)) for row in ANSWER.rows
    ]
    assert shown("csv", capsys).splitlines() == [
        "id,title,tags,v",
        '1,"a ""b"", c","[""x""]","[0.125,-0.5,1.0,2.0]"',
        '2,,[],"[1.0,0.0,0.0,0.0]"',
    ]


def test_every_type_is_printed_as_copy_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    values = (Decimal("1.50"), UUID(int=1), date(2020, 1, 2), datetime(2020, 1, 2, 3), b"\x01", "", None)
    result = StatementResult(tuple("abcdefg"), ("ANY",) * 7, (values,))
    texts = ["1.50", str(UUID(int=1)), "2020-01-02", "2020-01-02 03:00:00", "\\x01"]
    assert shown("csv", capsys, result).splitlines()[1] == ",".join([*texts, '""', ""])
    assert json.loads(shown("json", capsys, result))[0]["e"] == "\\x01"
    assert [*json.loads(shown("json", capsys, result))[0].values()][:3] == [1.5, *texts[1:3]]
    assert '"a":1.50' in shown("json", capsys, result)


def test_unaligned_rows(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(ANSWER, "unaligned")
    rows = ['1|a "b", c|{x}|[0.125,-0.5,1,2]', "2||{}|[1,0,0,0]"]
    assert capsys.readouterr().out.splitlines() == ["id|title|tags|v", *rows, "(2 rows)"]
    print_result(ANSWER, "unaligned", options=PrintOptions(tuples_only=True))
    assert capsys.readouterr().out.splitlines() == rows
    print_result(ANSWER, "unaligned", options=PrintOptions(footer=False, null="-", field_separator="\t"))
    assert capsys.readouterr().out.splitlines()[2] == "2\t-\t{}\t[1,0,0,0]"


def test_a_plan_keeps_its_indentation(capsys: pytest.CaptureFixture[str]) -> None:
    plan = StatementResult(("QUERY PLAN",), ("VARCHAR",), (("Answer",), ("  -> Query t",)), "EXPLAIN", 2)
    assert shown("table", capsys, plan) == "Answer\n  -> Query t\n"


def test_without_rows(capsys: pytest.CaptureFixture[str]) -> None:
    empty = StatementResult(("id",), ("INT64",), (), "SELECT 0", 0)
    assert (shown("table", capsys, empty), shown("csv", capsys, empty)) == ("", "id\n")
    assert json.loads(shown("json", capsys, empty)) == []
    assert shown("json", capsys, StatementResult(tag="DELETE 3", count=3)) == ""


def test_result_summary() -> None:
    assert result_summary(ANSWER) == "2 rows in 12 ms"
    assert result_summary(StatementResult(("x",), ("ANY",), ((1,),))) == "1 row in 0 ms"
    assert result_summary(StatementResult(("x",), ("ANY",))) == "no rows in 0 ms"
    assert result_summary(StatementResult(tag="SET")) == "SET"
    assert result_summary(StatementResult(tag="DELETE 3", count=3, seconds=0.004)) == "DELETE 3 in 4 ms"


def test_values() -> None:
    given = parse_params(["n=3", "x=0.5", "t=a=b", 'q="3"', "v=[1, 2]", "no=null", "e=", "w=NaN", "on=true"])
    assert given == {
        "n": 3,
        "x": 0.5,
        "t": "a=b",
        "q": "3",
        "v": [1, 2],
        "no": None,
        "e": "",
        "w": "NaN",
        "on": True,
    }
    for wrong in ("n", "=3", "1=2", "a b=1"):
        with pytest.raises(click.BadParameter, match="name=value"):
            parse_params([wrong])
