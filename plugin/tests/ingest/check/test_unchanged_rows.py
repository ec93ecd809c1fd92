"""Rows that are recognised as stored as they are, against the conversion itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin.tests.ingest.conftest import table

from nestvec.datasets.readers import CellTypes, SourceRow
from nestvec.datasets.readers.rows import QuotedText
from nestvec.ingest import batches
from nestvec.ingest.check.unchanged_rows import UnchangedRows
from nestvec.ingest.columns import ColumnMap
from nestvec.ingest.convert import convert_row, request_bytes
from nestvec.ingest.row_schema import RowSchema, row_schema
from nestvec.milvus.catalog import Column, TypeParams
from nestvec_schemas.errors import RowRejected

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": st.integers(0, 5),
    "text": st.text(min_size=1, max_size=4),
    "note": st.text(min_size=1, max_size=4),
    "maybe": st.text(min_size=1, max_size=4),
    "flag": st.booleans(),
    "tiny": st.integers(-128, 127),
    "year": st.integers(-(2**31), 2**31 - 1),
    "real": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "fine": st.floats(allow_nan=False, allow_infinity=False),
}
"""What each column takes as it is."""

TEXTS = ["é" * 5, "é" * 6, "x" * 10, "x" * 11, "", QuotedText(""), QuotedText("a"), "\ud800", "a\0b", "1"]
WHOLE = [0, 1, True, 127, 128, -128, -129, 2**31, 2**63 - 1, 2**63, -(2**63)]
DOUBLES = [2.0, 0.5, -0.0, 2.0**53, 3.5e38, 1e308, float("nan"), float("inf"), -float("inf")]
ODD = st.sampled_from([*TEXTS, *WHOLE, *DOUBLES, None, [1], {"a": 1}])
REQUIRED = ("id", "text", "note")
PLAIN = st.fixed_dictionaries(
    {name: VALUES[name] for name in REQUIRED},
    optional={name: values for name, values in VALUES.items() if name not in REQUIRED},
)
CHANGES = st.dictionaries(st.sampled_from([*VALUES, "json", "own", "extra", "text_4"]), ODD, max_size=2)
ROWS = PLAIN | st.builds(lambda row, changes: {**row, **changes}, PLAIN, CHANGES) | CHANGES

OTHER_COLUMNS = (
    None,
    Column("maybe", "VARCHAR", has_default=True, default="d", type_params=TypeParams(max_length=10)),
    Column("maybe", "VARCHAR", nullable=True),
    Column("year", "INT32", nullable=True, type_params=TypeParams(sql_type="date")),
    Column("note", "VARCHAR", primary=True, type_params=TypeParams(max_length=10)),
)
"""Columns in the place of those of their names."""

MAPS = (
    None,
    ColumnMap(),
    ColumnMap(ignore_extra=True),
    ColumnMap({"note": "maybe"}),
    ColumnMap(selected=("id",)),
)


def make_schema(
    other: Column | None, cells: CellTypes, mapping: ColumnMap | None, dynamic: bool
) -> RowSchema:
    base = table(dynamic=dynamic)
    columns = [other if other is not None and other.name == each.name else each for each in base.columns]
    return row_schema(replace(base, columns=tuple(columns)), cells, mapping)


SCHEMAS = st.builds(
    make_schema,
    st.sampled_from(OTHER_COLUMNS),
    st.sampled_from(
        [CellTypes(), CellTypes(json_text=True), CellTypes(text=True), CellTypes(text=True, null_text=True)]
    ),
    st.sampled_from(MAPS),
    st.booleans(),
)


def exact(row: Mapping[str, object]) -> dict[str, tuple[type, str]]:
    """A row with the types of its values: 1 is not True, and 0.0 is not -0.0."""
    return {name: (type(value), repr(value)) for name, value in row.items()}


@given(SCHEMAS, st.lists(ROWS, max_size=6))
@settings(max_examples=200, deadline=None)
def test_a_row_that_is_recognised_is_what_the_conversion_returns(
    schema: RowSchema, rows: list[dict[str, object]]
) -> None:
    unchanged = UnchangedRows(schema)
    for row in rows:
        size = unchanged.size(row)
        if size:
            converted = convert_row(row, schema)
            assert exact(converted) == exact(row)
            assert size == request_bytes(converted)


@given(
    st.lists(PLAIN, min_size=1, max_size=3),
    st.sampled_from([None, ColumnMap(), ColumnMap(ignore_extra=True)]),
)
@settings(deadline=None)
def test_ordinary_rows_are_recognised(rows: list[dict[str, object]], mapping: ColumnMap | None) -> None:
    unchanged = UnchangedRows(make_schema(None, CellTypes(), mapping, dynamic=False))
    for row in rows:
        fits = all(len(value.encode()) <= 10 for value in row.values() if isinstance(value, str))
        assert (unchanged.size(row) > 0) == fits


@given(SCHEMAS, st.lists(ROWS, max_size=20), st.integers(1, 8), st.integers(20, 400))
@settings(max_examples=200, deadline=None)
def test_batches_and_rejects_are_those_of_the_conversion_alone(
    schema: RowSchema, rows: list[dict[str, object]], max_rows: int, max_bytes: int
) -> None:
    items = [SourceRow(f"row {number}", row) for number, row in enumerate(rows, 1)]

    def all_batches() -> list[object]:
        return [
            (
                batch.start,
                batch.read,
                [exact(row) for row in batch.rows],
                batch.positions,
                [(each.place, str(each.reason)) for each in batch.rejected],
                batch.rejected_positions,
            )
            for batch in batches.batch_rows(items, schema, max_rows)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "MAX_BATCH_BYTES", max_bytes)
        quick = all_batches()
        patch.setattr(UnchangedRows, "size", lambda self, row: 0)
        assert quick == all_batches()


def test_rows_of_many_sets_of_names_are_recognised() -> None:
    """Only the first sets are remembered."""
    columns = tuple(Column(f"c{number}", "INT64", nullable=True) for number in range(200))
    base = table()
    schema = row_schema(replace(base, columns=(*base.columns[:3], *columns, base.columns[-1])))
    unchanged = UnchangedRows(schema)
    row = {"id": 1, "text": "a", "note": "b"}
    assert all(unchanged.size({**row, column.name: 1}) for column in columns)
    with pytest.raises(RowRejected, match="column c199 is outside INT64"):
        convert_row({**row, "c199": 2**63}, schema)
    assert not unchanged.size({**row, "c199": 2**63})
