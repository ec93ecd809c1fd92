"""Columns of a file under the collection's names: mapped, selected, left out, or refused with both ways."""

from __future__ import annotations

import pytest

from nestvec.datasets.readers import CellTypes
from nestvec.ingest.columns import ColumnMap
from nestvec.ingest.convert import convert_row
from nestvec.ingest.row_schema import RowSchema, check_header, row_schema
from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec_schemas.errors import IngestError, RowRejected

TABLE = Table(
    "papers",
    (
        Column("id", "INT64", primary=True),
        Column("t", "VARCHAR", type_params=TypeParams(max_length=100)),
        Column("n", "INT64", nullable=True),
        Column("note", "VARCHAR", nullable=True, type_params=TypeParams(max_length=100)),
    ),
)


def schema(
    header: tuple[str, ...] | None = None, cells: CellTypes | None = None, **options: object
) -> RowSchema:
    columns = ColumnMap(**options).with_header(header, path="f.csv")  # type: ignore[arg-type]
    return row_schema(TABLE, cells, columns)


def test_a_mapped_column_is_stored_under_the_collections_name() -> None:
    mapped = schema(("nr", "text"), renamed={"nr": "id", "text": "t"})
    check_header(("nr", "text"), mapped, path="f.csv")
    assert convert_row({"nr": 1, "text": "a"}, mapped) == {"id": 1, "t": "a"}


def test_columns_may_be_exchanged() -> None:
    mapped = schema(("id", "n", "t"), renamed={"id": "n", "n": "id"})
    assert convert_row({"id": 1, "n": 2, "t": "a"}, mapped) == {"id": 2, "n": 1, "t": "a"}


def test_an_extra_column_is_refused_with_both_ways_and_may_be_left_out() -> None:
    row = {"id": 1, "t": "a", "titel": "b"}
    for refuse in (
        lambda: check_header(tuple(row), schema(tuple(row)), path="f.csv"),
        lambda: convert_row(row, schema()),
    ):
        with pytest.raises((IngestError, RowRejected), match=r"titel.*--ignore-extra.*--map titel=COLUMN"):
            refuse()
    ignoring = schema(tuple(row), ignore_extra=True)
    check_header(tuple(row), ignoring, path="f.csv")
    assert convert_row(row, ignoring) == {"id": 1, "t": "a"}


def test_rows_of_no_file_are_not_told_about_options_of_files() -> None:
    with pytest.raises(RowRejected) as caught:
        convert_row({"id": 1, "t": "a", "x": 1}, row_schema(TABLE))
    assert "--ignore-extra" not in str(caught.value)


def test_selected_columns_are_by_name_or_else_by_position() -> None:
    header = ("id", "t", "extra")
    selected = schema(header, selected=("t", "id"))
    check_header(header, selected, path="f.csv")
    assert convert_row({"id": 1, "t": "a", "extra": 3}, selected) == {"id": 1, "t": "a"}
    other = ("nr", "text")
    selected = schema(other, selected=("id", "t"))
    check_header(other, selected, path="f.csv")
    assert convert_row({"nr": 1, "text": "a"}, selected) == {"id": 1, "t": "a"}


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        (("id", "t"), {"renamed": {"x": "t"}}, "no column of this name to map: x. Available: id, t"),
        (("id", "t", "x"), {"renamed": {"x": "t"}}, "two columns of f.csv would fill the same column: t"),
        (("id", "x"), {"selected": ("id", "t")}, "no column of f.csv fills a column that is to be filled: t"),
        (("a", "b", "c"), {"selected": ("id", "t")}, "f.csv has 3 columns, the statement names 2 others"),
    ],
)
def test_a_map_that_does_not_fit_the_file(
    header: tuple[str, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(IngestError, match=message):
        schema(header, **options)  # type: ignore[arg-type]


def test_two_values_for_one_column_reject_their_row() -> None:
    with pytest.raises(RowRejected, match="two values of the row would fill the same column: t"):
        convert_row({"id": 1, "t": "a", "x": "b"}, schema(renamed={"x": "t"}))


def test_an_empty_text_is_null_unless_another_text_stands_for_it() -> None:
    row = {"id": "1", "t": "a", "n": "", "note": ""}
    assert convert_row(row, schema(cells=CellTypes(text=True))) == {"id": 1, "t": "a"}
    with_null = schema(cells=CellTypes(text=True, null_text=True))
    assert convert_row(row, with_null) == {"id": 1, "t": "a", "note": ""}
    assert convert_row(row | {"note": None}, with_null) == {"id": 1, "t": "a"}
