"""Rows: what each type takes, and why a row is rejected."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec.datasets.readers import CellTypes
from nestvec.ingest.columns import ColumnMap
from nestvec.ingest.convert import MAX_JSON_BYTES, convert_row, request_bytes
from nestvec.ingest.row_schema import RowSchema, check_header
from nestvec.milvus.catalog.column_properties import TEMPLATE_PROPERTY_PREFIX
from nestvec_schemas.errors import IngestError, RowRejected

BASE: dict[str, object] = {"id": 1, "text": "a", "note": ""}
WORDS: dict[str, object] = {"id": "1", "text": "a", "note": ""}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("tiny", -128, -128),
        ("tiny", 12.0, 12),
        ("tiny", Decimal("3"), 3),
        ("real", 3, 3.0),
        ("fine", 1e300, 1e300),
        ("flag", False, False),
        ("text", "é" * 5, "é" * 5),
        ("text", "a\0b", "a\0b"),
        ("json", {"a": [1, None]}, {"a": [1, None]}),
        ("json", [1, "b"], [1, "b"]),
        ("tags", ["a", "bcd"], ["a", "bcd"]),
        ("tags", [], []),
        ("own", [1, 0.5], [1.0, 0.5]),
    ],
)
def test_what_a_column_takes(typed: RowSchema, column: str, value: object, stored: object) -> None:
    assert convert_row(BASE | {column: value}, typed)[column] == stored


@pytest.mark.parametrize(
    ("column", "cell", "stored"),
    [
        ("id", " 12 ", 12),
        ("year", "1999.0", 1999),
        ("year", "-5", -5),
        ("flag", "Yes", True),
        ("flag", "0", False),
        ("real", "1e3", 1000.0),
        ("json", '{"a": 1}', {"a": 1}),
        ("tags", '["a"]', ["a"]),
        ("own", "[1, 2]", [1.0, 2.0]),
        ("maybe", " ", " "),
    ],
)
def test_what_a_cell_of_csv_becomes(text: RowSchema, column: str, cell: str, stored: object) -> None:
    assert convert_row(WORDS | {column: cell}, text)[column] == stored


def test_a_double_of_a_file_that_may_be_a_rounded_integer_is_no_key(typed: RowSchema) -> None:
    """Of a file only: a statement's own doubles are what they say."""
    of_file = replace(typed, mapping=ColumnMap())
    assert convert_row(BASE | {"id": 2.0**53 - 1}, of_file)["id"] == 2**53 - 1
    assert convert_row(BASE | {"id": 2**53 + 1}, of_file)["id"] == 2**53 + 1
    assert convert_row(BASE | {"id": 2.0**54}, typed)["id"] == 2**54
    for value in (float(2**53 + 1), -(2.0**53), 2.0**54):
        with pytest.raises(RowRejected, match=r"column id is a double from 2\^53 on"):
            convert_row(BASE | {"id": value}, of_file)


def test_null_and_empty_cells_are_left_to_milvus(typed: RowSchema, text: RowSchema) -> None:
    nothing = dict.fromkeys(("maybe", "flag", "year", "json", "tags", "own", "text_4"))
    assert convert_row(BASE | nothing, typed) == BASE
    assert convert_row(WORDS | dict.fromkeys(("maybe", "flag", "year", "json", "tags"), ""), text) == BASE


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": None}, "column text is missing"),
        ({"id": None}, "column id is missing"),
        ({"id": True}, "column id is not a whole number: True"),
        ({"id": "1"}, "column id is not a whole number: 1"),
        ({"id": 1.5}, "column id is not a whole number: 1.5"),
        ({"id": 2**63}, "column id is outside INT64"),
        ({"id": 10**400}, "column id is outside INT64: int"),
        ({"id": Decimal("1e999999999")}, "is not a whole number"),
        ({"tiny": 128}, "column tiny is outside INT8: 128. Write a number from -128 to 127"),
        ({"real": math.nan}, "column real is not a finite number: nan"),
        ({"real": -math.inf}, "is not a finite number"),
        ({"real": 1e39}, "column real is too large for FLOAT"),
        ({"fine": 10**400}, "column fine is not a finite number"),
        ({"fine": True}, "is not a finite number"),
        ({"flag": 1}, "column flag is neither true nor false: 1"),
        ({"text": ""}, "column text is empty, so there is nothing to embed"),
        ({"text": 5}, "column text is not text: 5"),
        ({"text": "é" * 6}, "column text has 12 bytes of UTF-8, more than its max_length of 10"),
        ({"text": "\ud800"}, "column text is not valid UTF-8"),
        ({"json": {"a": [math.nan]}}, "column json contains a number that JSON cannot represent"),
        ({"json": {"a": b"x"}}, "column json cannot be written as JSON"),
        ({"json": {"a": "\ud800"}}, "column json cannot be written as JSON"),
        ({"json": "word"}, "column json is neither a JSON object nor a list: word"),
        ({"json": 3}, "column json is neither a JSON object nor a list: 3"),
        ({"json": ["x" * MAX_JSON_BYTES]}, "column json has more than 65536 bytes of JSON"),
        ({"tags": "a"}, "column tags is not a list"),
        ({"tags": ["a"] * 3}, "column tags has more than 2 elements: 3"),
        ({"tags": ["abcd"]}, r"column tags\[\] has 4 bytes"),
        ({"tags": [None]}, r"column tags\[\] is not text"),
        ({"own": [1]}, "column own has 2 dims"),
        ({"own": [1, "x"]}, "column own is not a finite number"),
        ({"odd": {1: 0.5}}, "of type SPARSE_FLOAT_VECTOR, which cannot be ingested"),
        ({"text_4": [1, 2, 3, 4]}, "Milvus or nestvec fills this column: text_4"),
        ({"yaer": 2000}, "t has no such column: yaer.*Did you mean 'year'"),
    ],
)
def test_why_a_row_is_rejected(typed: RowSchema, row: dict[str, object], said: str) -> None:
    with pytest.raises(RowRejected, match=said):
        convert_row(BASE | row, typed)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": ""}, "column id is empty"),
        ({"id": "1_000"}, "is not a whole number: 1_000"),
        ({"id": "٣"}, "is not a whole number"),
        ({"id": "9" * 19}, "outside INT64"),
        ({"text": ""}, "nothing to embed"),
        ({"text": "\udcff"}, "not valid UTF-8"),
        ({"flag": "maybe"}, "neither true nor false: maybe"),
        ({"real": "nan"}, "is not a finite number: nan"),
        ({"real": "1_0"}, "is not a finite number: 1_0"),
        ({"json": "{"}, "column json is not JSON"),
        ({"json": "[18446744073709551616]"}, "column json: an integer of JSON is beyond 64 bits"),
        ({"json": "null"}, "neither a JSON object nor a list: null"),
        ({"tags": "a;b"}, "column tags is not JSON"),
    ],
)
def test_why_a_row_of_csv_is_rejected(text: RowSchema, row: dict[str, object], said: str) -> None:
    with pytest.raises(RowRejected, match=said):
        convert_row(WORDS | row, text)


def test_a_dynamic_table_keeps_other_columns(typed: RowSchema, text: RowSchema) -> None:
    dynamic = replace(typed, table=replace(typed.table, dynamic=True))
    assert convert_row(BASE | {"more": [1], "none": None}, dynamic) == BASE | {"more": [1]}
    cells = replace(text, table=dynamic.table)
    assert convert_row(WORDS | {"more": "x", "empty": ""}, cells) == BASE | {"more": "x"}
    with pytest.raises(RowRejected, match="reserves: \\$meta"):
        convert_row(BASE | {"$meta": {}}, dynamic)
    with pytest.raises(RowRejected, match="dynamic field more has more than 65536 bytes"):
        convert_row(BASE | {"more": "x" * MAX_JSON_BYTES}, dynamic)
    half = "x" * (MAX_JSON_BYTES // 2)
    with pytest.raises(RowRejected, match="the dynamic part of the row has more than 65536 bytes"):
        convert_row(BASE | {"more": half, "other": half}, dynamic)
    for value in (Decimal("1.5"), math.nan, {"price": Decimal(1)}):
        with pytest.raises(RowRejected, match="dynamic field other "):
            convert_row(BASE | {"more": 1, "other": value}, dynamic)
    with pytest.raises(RowRejected, match="nestvec fills this column"):
        convert_row(BASE | {"text_4": [1]}, dynamic)


def test_a_key_that_milvus_makes_may_not_be_given(typed: RowSchema) -> None:
    columns = dict(typed.columns)
    columns["id"] = replace(columns["id"], auto_id=True)
    auto = replace(typed, columns=columns)
    assert "id" not in convert_row({"text": "a", "note": "", "id": None}, auto)
    with pytest.raises(RowRejected, match="nestvec fills this column: id"):
        convert_row(BASE, auto)


@given(
    st.dictionaries(st.sampled_from(["id", "text", "note", "tiny", "real", "json", "tags", "own", "x"]), ANY)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_row_is_stored_as_its_types_say_or_rejected(typed: RowSchema, row: dict[str, object]) -> None:
    for cells in (CellTypes(), CellTypes(json_text=True), CellTypes(text=True, json_text=True)):
        try:
            stored = convert_row(BASE | row, replace(typed, cells=cells))
        except RowRejected:
            continue
        assert isinstance(stored["id"], int)
        assert stored["text"]
        assert set(stored) <= {"id", "text", "note", "tiny", "real", "json", "tags", "own"}
        assert request_bytes(stored) > 0
        orjson.dumps(stored)


def test_the_weight_counts_bytes() -> None:
    assert request_bytes({"ab": "é", "n": 1, "j": [1, 2]}) == 2 + 2 + 1 + 8 + 1 + 5


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["id", "text", "note", "yaer"], "has a column that t does not have: yaer.*Did you mean 'year'"),
        (["id", "text", "note", "text_4"], "a column that is generated from another column: text_4"),
        (["id", "txt", "note"], "a column that t does not have: txt.*Did you mean 'text'"),
        (["id", "note"], "has no column text, which every row of t needs: id, note"),
    ],
)
def test_a_header_that_can_give_no_row(text: RowSchema, names: list[str], said: str) -> None:
    with pytest.raises(IngestError, match=said):
        check_header(names, text, path="x.csv")


def test_a_header_that_can(text: RowSchema) -> None:
    check_header(["note", "text", "id"], text, path="x.csv")
    dynamic = replace(text, table=replace(text.table, dynamic=True))
    check_header(["note", "text", "id", "more"], dynamic, path="x.csv")


def composing(shape: RowSchema, template: str) -> RowSchema:
    """The shape with a template on ``text``, which is embedded."""
    return replace(
        shape, table=replace(shape.table, properties={f"{TEMPLATE_PROPERTY_PREFIX}text": template})
    )


def test_a_text_is_composed_of_the_rows_other_values(typed: RowSchema, text: RowSchema) -> None:
    row = {"id": 1, "note": "n", "json": {"a": 2}}
    assert convert_row(row, composing(typed, "{note}: {json.a}"))["text"] == "n: 2"
    cells = {"id": "1", "text": "", "note": "n", "json": '{"a": 2}'}
    assert convert_row(cells, composing(text, "{note}: {json.a}"))["text"] == "n: 2"
    assert (
        convert_row(row | {"text": None, "maybe": "m"}, composing(typed, "{note}. {maybe}"))["text"] == "n. m"
    )
    assert convert_row({"id": 1, "note": "n"}, composing(typed, "flatten"))["text"] == "note: n"


def test_a_text_that_the_row_brings_stays(typed: RowSchema) -> None:
    assert convert_row(BASE | {"note": "n"}, composing(typed, "{note}"))["text"] == "a"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, r"column text composes to nothing.*: \{maybe\}\. \{json\.a\}.*Add maybe, json to the row"),
        ({"json": {"b": 1}}, "composes to nothing"),
        ({"maybe": "0123456789", "json": {"a": 1}}, "has 13 bytes of UTF-8, more than its max_length of 10"),
    ],
)
def test_a_row_that_composes_to_nothing_or_too_much_is_rejected(
    typed: RowSchema, row: dict[str, object], said: str
) -> None:
    with pytest.raises(RowRejected, match=said):
        convert_row({"id": 1, "note": ""} | row, composing(typed, "{maybe}. {json.a}"))


def test_a_header_needs_no_composed_column(text: RowSchema) -> None:
    with pytest.raises(IngestError, match="no column text"):
        check_header(["id", "note"], text, path="f")
    check_header(["id", "note"], composing(text, "{note}"), path="f")
