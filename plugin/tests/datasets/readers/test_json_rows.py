"""JSON arrays and sequences of objects, as json.loads reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.datasets.readers import SourceRow, json_rows, open_source
from nestvec.datasets.readers.rows import JsonRow
from nestvec_schemas.errors import FileUnreadable, NestvecError, RowRejected

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=8)
    | st.text('"\\[]{},', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=6), JSON, max_size=4), max_size=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("json")


def read(folder: Path, text: str | bytes, skip: int = 0) -> list[SourceRow]:
    path = folder / "rows.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    return list(open_source(path).items(skip))


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> object:
    """Values that lie in several chunks are the rule."""
    patch = pytest.MonkeyPatch()
    patch.setattr(json_rows, "_CHUNK_BYTES", 7)
    yield
    patch.undo()


@given(OBJECTS, st.sampled_from([None, 2]), st.integers(0, 7), st.booleans())
def test_an_array_comes_back(
    folder: Path, rows: list[dict[str, object]], indent: int | None, skip: int, ascii_only: bool
) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    assert [row.value for row in read(folder, text, skip)] == json.loads(text)[skip:]


@given(OBJECTS, st.sampled_from([None, 2]), st.sampled_from(["", "\n", " , "]))
def test_a_sequence_of_objects_comes_back(
    folder: Path, rows: list[dict[str, object]], indent: int | None, between: str
) -> None:
    text = between.join(json.dumps(row, indent=indent) for row in rows)
    assert [row.value for row in read(folder, text)] == rows


@given(st.binary(max_size=80) | st.text('[]{}",:\\1a \n', max_size=60).map(str.encode))
def test_any_bytes_are_rows_or_an_error(folder: Path, data: bytes) -> None:
    try:
        for row in read(folder, data):
            assert isinstance(row.value, (dict, RowRejected))
    except NestvecError as error:
        assert isinstance(error, FileUnreadable)


def test_an_item_that_is_no_object_is_rejected_alone(tmp_path: Path) -> None:
    rows = read(tmp_path, '[{"a": 1},\n 5, "x", [1, {"b": 2}],\n{"a" 2}, {"a": NaN}, null, {"a": 3}]\n')
    assert [isinstance(row.value, RowRejected) for row in rows] == [False, *[True] * 6, False]
    assert rows[1].place == "item 2, line 2"
    assert "the item is not a JSON object: int" in str(rows[1].value)
    assert [row.raw for row in rows[1:4]] == ["5", '"x"', '[1, {"b": 2}]']
    assert rows[4].place == "item 5, line 3"
    assert "the item is not JSON" in str(rows[4].value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}', "the array is not closed: line 1"),
        ('[{"a": 1},\n{"a": "', "the file ends inside a value: line 2"),
        ('[{"a": 1}] {"b": 2}', "there is more after the array"),
    ],
)
def test_an_array_that_is_cut_off(tmp_path: Path, text: str, message: str) -> None:
    rows = []
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(FileUnreadable, match=message):
        for row in open_source(path).items():
            rows.append(row.value)
    assert rows == [{"a": 1}]


def test_an_item_too_long_is_rejected_without_being_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 1_000)
    monkeypatch.setattr(json_rows, "MAX_RAW_LENGTH", 100)
    text = json.dumps([{"a": "x" * 50_000}, {"a": "y\n" * 300, "b": [["z"]] * 200}, {"a": 2}], indent=1)
    rows = read(tmp_path, text)
    assert [isinstance(row.value, RowRejected) for row in rows] == [True, True, False]
    assert "longer than 16 MiB" in str(rows[0].value)
    assert rows[2].value == {"a": 2}
    assert rows[2].place == f"item 3, line {text[: text.rindex('{')].count(chr(10)) + 1}"


def test_an_array_on_one_line_of_jsonl_names_the_format(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('[{"a": 1}]')
    (row,) = open_source(tmp_path / "rows.jsonl").items()
    assert "--format json" in str(row.value)


@pytest.mark.parametrize("number", ["9007199254740993e0", "9007199254740993e-3", "900719925474099.31"])
def test_a_row_has_its_text_where_a_double_may_be_rounded(folder: Path, number: str) -> None:
    text = f'{{"price": {number}}}'
    (row,) = read(folder, text)
    assert isinstance(row.value, JsonRow)
    assert row.value.text == text.encode()
