"""The reader against ``json.loads`` and a plain validator: the same values, and the same bodies refused."""

from __future__ import annotations

import json
from array import array
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.service.bodies.fields import FieldReaders
from nestvec.service.bodies.readers import BodyReader, InputLimits
from nestvec.service.bodies.small_body import accept_inputs, accept_nullable_texts, accept_text
from nestvec_schemas.errors import NestvecError

LIMITS = InputLimits(inputs=6, documents=6, text_characters=300, characters=500, text_ids=20, ids=30)
FIELDS = FieldReaders(
    {"inputs": BodyReader.inputs, "query": BodyReader.text, "documents": BodyReader.documents},
    {"inputs": accept_inputs, "query": accept_text, "documents": accept_nullable_texts},
)
REFUSED = "refused"


def read(data: bytes) -> Any:
    """The fields, read in both ways, or REFUSED."""
    results: list[Any] = []
    for way in (FIELDS.read, FIELDS.read_small):
        try:
            results.append(way(data, LIMITS))
        except NestvecError:
            results.append(REFUSED)
    assert results[0] == results[1]
    return results[0]


def reference(data: bytes) -> Any:
    """What the fields should be, written without regard to time and memory."""

    def refuse(*_: object) -> Any:
        raise ValueError

    def no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(pairs) if len(dict(pairs)) == len(pairs) else refuse()

    try:
        values = json.loads(data.decode("utf-8-sig"), parse_constant=refuse, object_pairs_hook=no_name_twice)
        expect(isinstance(values, dict))
        read = {name: READERS.get(name, lambda value: value)(value) for name, value in values.items()}
        texts = [value for name in READERS for value in as_list(read.get(name))]
        expect(sum(len(text) for text in texts if isinstance(text, str)) <= LIMITS.characters)
        return read
    except (ValueError, RecursionError):
        return REFUSED


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def expect(condition: bool) -> None:
    if not condition:
        raise ValueError


def check_text(value: Any) -> Any:
    expect(isinstance(value, str) and len(value) <= LIMITS.text_characters)
    return value


def check_ids(value: Any) -> Any:
    expect(isinstance(value, list) and len(value) <= LIMITS.text_ids)
    expect(all(type(item) is int and -(2**31) <= item < 2**31 for item in value))
    return array("i", value)


def check_inputs(value: Any) -> Any:
    if isinstance(value, str):
        return check_text(value)
    expect(isinstance(value, list))
    if value and type(value[0]) is int:
        return check_ids(value)
    expect(len(value) <= LIMITS.inputs)
    if value and isinstance(value[0], list):
        rows = [check_ids(row) for row in value]
        expect(sum(map(len, rows)) <= LIMITS.ids)
        return rows
    return [check_text(item) for item in value]


def check_documents(value: Any) -> Any:
    expect(isinstance(value, list) and len(value) <= LIMITS.documents)
    texts = []
    for item in value:
        text = item["text"] if isinstance(item, dict) and "text" in item else item
        texts.append("" if text is None else check_text(text))
    return texts


READERS: dict[str, Any] = {"inputs": check_inputs, "query": check_text, "documents": check_documents}

texts = st.text(
    st.characters() | st.sampled_from('"\\],:{}[\ud800\udc00😀\n'), max_size=12
) | st.sampled_from(["x" * 300, "x" * 301, '"],', "inputs"])
ids = st.integers(-(2**31) - 1, 2**31) | st.integers(0, 40_000)
scalars = st.none() | st.booleans() | ids | st.floats(-1e9, 1e9) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
documents = st.lists(texts | st.none() | st.fixed_dictionaries({"text": texts | st.none()}), max_size=7)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "inputs": texts
        | st.lists(texts, max_size=7)
        | st.lists(ids, max_size=22)
        | st.lists(st.lists(ids, max_size=12), max_size=7)
        | values,
        "query": texts | values,
        "documents": documents | values,
        "other": values,
    },
)
layouts = st.fixed_dictionaries(
    {},
    optional={
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 1, "\t"]),
        "separators": st.sampled_from([None, (",", ":"), (" , ", " : ")]),
    },
)


@settings(max_examples=600, deadline=None)
@given(body=bodies, layout=layouts)
def test_written_bodies(body: dict[str, Any], layout: dict[str, Any]) -> None:
    data = json.dumps(body, **layout).encode("utf-8", "surrogatepass")
    assert read(data) == reference(data)


@settings(max_examples=600, deadline=None)
@given(body=bodies, layout=layouts, data=st.data())
def test_damaged_bodies(body: dict[str, Any], layout: dict[str, Any], data: st.DataObject) -> None:
    """Bytes of a body are removed, replaced or inserted."""
    written = bytearray(json.dumps(body, **layout).encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(written)))
        end = data.draw(st.integers(start, min(len(written), start + 3)))
        written[start:end] = data.draw(
            st.binary(max_size=2)
            | st.sampled_from([b'"', b",", b"]", b"[", b"\\", b"1", b"e5", b"{", b" ", b"null"])
        )
    assert read(bytes(written)) == reference(bytes(written))


structure = [
    b'"inputs"',
    b'"in\\u0070uts"',
    b'"query"',
    b'"documents"',
    b'"text"',
    b":",
    b",",
    b"[",
    b"]",
    b"{",
    b"}",
]
scalars_written = [
    b"1",
    b"-0",
    b"01",
    b"1.0",
    b"1e3",
    b"true",
    b"null",
    b"NaN",
    b'"a"',
    b'"\\"]"',
    b'"\\ud83d"',
]
pieces = st.sampled_from([*structure, *scalars_written, b" ", b"\n", b"\\u0061", b'"\xff"'])


@settings(max_examples=600, deadline=None)
@given(parts=st.lists(pieces, max_size=14), opened=st.sampled_from([b"", b"{", b'{"inputs":[', b'{"query":']))
def test_arbitrary_tokens(parts: list[bytes], opened: bytes) -> None:
    data = opened + b"".join(parts)
    assert read(data) == reference(data)
