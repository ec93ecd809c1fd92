"""Rows of a result by PEP 249, as Arrow and as pandas."""

from __future__ import annotations

import sys

import pyarrow as pa
import pytest

from nestvec import dbapi
from nestvec.dbapi.cursor_base import CursorBase
from nestvec.sql import StatementResult
from nestvec.sql.arrow_result import arrow_table

ANSWER = StatementResult(
    ("id", "title", "v"),
    ("INT64", "VARCHAR", "FLOAT_VECTOR"),
    ((1, "a", [1.0, 0.5]), (2, None, [0.0, 2.0]), (3, "c", [0.25, 3.0])),
    "SELECT 3",
    3,
)


@pytest.fixture
def results() -> CursorBase:
    found = CursorBase()
    found._set_result(ANSWER)
    return found


def test_description_and_counts(results: CursorBase) -> None:
    assert results.description is not None
    assert [len(one) for one in results.description] == [7] * 3
    names, codes = [one[0] for one in results.description], [one[1] for one in results.description]
    assert names == ["id", "title", "v"]
    assert codes[0] == dbapi.NUMBER != codes[1] == dbapi.STRING
    assert (results.rowcount, results.rownumber, results.statusmessage) == (3, 0, "SELECT 3")
    assert results.lastrowid is None


def test_rows_are_fetched_once(results: CursorBase) -> None:
    assert results._fetch_row() == (1, "a", [1.0, 0.5])
    assert results.rownumber == 1
    results.arraysize = 5
    assert [row[0] for row in results._fetch_rows(1)] == [2]
    assert [row[0] for row in results._fetch_rows(None)] == [3]
    assert (results._fetch_row(), results._fetch_rows(3), results._fetch_rest()) == (None, [], [])


def test_without_rows_nothing_can_be_fetched() -> None:
    results = CursorBase()
    assert (results.description, results.rowcount, results.rownumber) == (None, -1, None)
    with pytest.raises(dbapi.InterfaceError, match="no rows to fetch"):
        results._fetch_row()
    results._set_result(StatementResult(tag="DELETE 3", count=3))
    assert (results.description, results.rowcount) == (None, 3)
    with pytest.raises(dbapi.InterfaceError, match="no rows to fetch"):
        results.arrow()
    results._close()
    with pytest.raises(dbapi.InterfaceError, match="closed"):
        results._fetch_rest()


def test_arrow_has_the_columns_types(results: CursorBase) -> None:
    found = results.arrow()
    vector = pa.list_(pa.float32(), 2)
    assert found.schema == pa.schema([("id", pa.int64()), ("title", pa.string()), ("v", vector)])
    assert found.to_pylist()[1] == {"id": 2, "title": None, "v": [0.0, 2.0]}
    assert results._fetch_rest() == []


@pytest.mark.parametrize(
    ("type_", "values", "expected", "kept"),
    [
        ("FLOAT_VECTOR", [[1.0], None], pa.list_(pa.float32(), 1), [[1.0], None]),
        ("FLOAT_VECTOR", [], pa.list_(pa.float32()), []),
        ("BINARY_VECTOR", [[b"\x01\x02"]], pa.binary(), [b"\x01\x02"]),
        ("SPARSE_FLOAT_VECTOR", [{3: 0.5}], pa.string(), ['{"3":0.5}']),
        ("JSON", [{"a": [1, None]}, None], pa.string(), ['{"a":[1,null]}', None]),
        ("ARRAY", [["a"], []], pa.list_(pa.string()), [["a"], []]),
        ("INT8", [1, None], pa.int8(), [1, None]),
        ("BOOL", [True, None], pa.bool_(), [True, None]),
        ("FLOAT", [0.5], pa.float32(), [0.5]),
        ("DOUBLE", [0.1], pa.float64(), [0.1]),
        ("ANY", [1, 2], pa.int64(), [1, 2]),
        ("ANY", [1, "a"], pa.string(), ["1", "a"]),
    ],
)
def test_arrow_of_each_type(
    type_: str, values: list[object], expected: pa.DataType, kept: list[object]
) -> None:
    column = arrow_table(["x"], [type_], [(value,) for value in values]).column(0)
    assert column.type == expected
    assert column.to_pylist() == kept


def test_two_columns_of_one_name() -> None:
    assert arrow_table(["x", "x"], ["INT64", "INT64"], [(1, 2)]).num_columns == 2


def test_a_frame_needs_pandas(results: CursorBase, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = results.df()
    assert list(frame.columns) == ["id", "title", "v"]
    assert frame["id"].tolist() == [1, 2, 3]
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    results._set_result(ANSWER)
    with pytest.raises(dbapi.InterfaceError, match=r"nestvec\[pandas\]"):
        results.df()


def test_module_globals() -> None:
    assert (dbapi.apilevel, dbapi.paramstyle, dbapi.threadsafety) == ("2.0", "named", 2)
    assert dbapi.DateFromTicks(0).year in (1969, 1970)
    assert dbapi.TimestampFromTicks(86_400).year == 1970
    assert dbapi.Binary(b"x") == b"x"
