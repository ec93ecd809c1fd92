from __future__ import annotations

import json
import tracemalloc
from array import array
from dataclasses import replace
from typing import Any

import pytest

from nestvec.service.bodies.fields import FieldReaders
from nestvec.service.bodies.json_scanner import MAX_VALUE_BYTES, STEP
from nestvec.service.bodies.readers import BodyReader, InputLimits, nullable
from nestvec.service.bodies.small_body import accept_inputs, accept_nullable_texts, accept_text
from nestvec_schemas.errors import BodyInvalid, BodyNotJson, InputTooLong, NestvecError, TooManyInputs

LIMITS = InputLimits(
    inputs=2048, documents=512, text_characters=1 << 20, characters=1 << 24, text_ids=1 << 16, ids=1 << 22
)
FIELDS = FieldReaders(
    {"inputs": BodyReader.inputs, "query": nullable(BodyReader.text), "documents": BodyReader.documents},
    {"inputs": accept_inputs, "query": accept_text, "documents": accept_nullable_texts},
)
MIB = 1 << 20


def read(data: bytes, limits: InputLimits = LIMITS) -> dict[str, Any]:
    """The fields by the step-by-step reader; small bodies are first read the quick way, with one result."""
    try:
        values = FIELDS.read(data, limits)
    except NestvecError as error:
        with pytest.raises(type(error)) as caught:
            FIELDS.read_small(data, limits)
        assert str(caught.value) == str(error)
        raise
    assert FIELDS.read_small(data, limits) == values
    return values


def refusal(data: bytes, limits: InputLimits = LIMITS) -> NestvecError:
    with pytest.raises((BodyNotJson, BodyInvalid, TooManyInputs, InputTooLong)) as caught:
        read(data, limits)
    return caught.value


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("a", "a"),
        ("", ""),
        (["a", "é😀", 'a "b" \\ \n', "],"], None),
        ([], None),
        ([1, 2, 30000], array("i", [1, 2, 30000])),
        ([[1, -2], [3], []], [array("i", [1, -2]), array("i", [3]), array("i")]),
        (["x" * (3 * STEP), "é" * STEP, "a\n" * STEP, "😀" * STEP], None),
        ([f"text {n}" for n in range(2048)], None),
        (list(range(50_000)), array("i", range(50_000))),
        ([[n] * 300 for n in range(2048)], [array("i", [n] * 300) for n in range(2048)]),
    ],
)
@pytest.mark.parametrize(
    "layout", [{}, {"ensure_ascii": False}, {"indent": 2}, {"separators": (" ,", " : ")}]
)
def test_inputs_are_what_json_reads(inputs: Any, expected: Any, layout: dict[str, Any]) -> None:
    data = json.dumps({"truncate": True, "inputs": inputs, "options": {"a": [1.5, None]}}, **layout).encode()
    values = read(data)
    assert values == {
        "truncate": True,
        "inputs": inputs if expected is None else expected,
        "options": {"a": [1.5, None]},
    }


def test_surrogates_are_joined_wherever_a_step_ends() -> None:
    for shift in range(12):
        text = "a" * (STEP - shift) + "\U0001f600" * 3 + "\ud800" + "é" * STEP
        assert read(json.dumps({"inputs": [text]}).encode())["inputs"] == [text]
    assert read(b"\xef\xbb\xbf" + b'{"inputs":"a"}') == {"inputs": "a"}


def test_documents_are_read_as_texts() -> None:
    documents = ["a", {"text": "b", "title": "t"}, None, {"text": None}]
    assert read(json.dumps({"documents": documents, "query": None}).encode()) == {
        "documents": ["a", "b", "", ""],
        "query": None,
    }


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b'{"inputs":[null,null]}', BodyInvalid, "body.inputs[0] is invalid: null, not a text or token ids"),
        (b'{"inputs":["a",null,true]}', BodyInvalid, "body.inputs[1] is invalid: null, not a text"),
        (b'{"inputs":["a",1]}', BodyInvalid, "body.inputs[1] is invalid: a number, not a text"),
        (b'{"inputs":[1,"a"]}', BodyInvalid, "body.inputs[1] is invalid: a text, not a token id"),
        (b'{"inputs":[1,true]}', BodyInvalid, "body.inputs[1] is invalid: true, not a token id"),
        (b'{"inputs":[[2,3],[1,true]]}', BodyInvalid, "body.inputs[1][1] is invalid: true, not a token id"),
        (b'{"inputs":[1,2.0]}', BodyInvalid, "body.inputs[1] is invalid: a number with a fraction"),
        (b'{"inputs":[1,1e3]}', BodyInvalid, "body.inputs[1] is invalid: a number with a fraction"),
        (b'{"inputs":[2147483648]}', BodyInvalid, "body.inputs[0] is invalid: 2147483648, not a token id"),
        (
            b'{"inputs":{"a":1}}',
            BodyInvalid,
            "body.inputs is invalid: an object, not a text, texts, or token",
        ),
        (
            b'{"documents":[{"title":"a"}]}',
            BodyInvalid,
            "body.documents[0] is invalid: an object without a text",
        ),
        (
            b'{"documents":[{"text":3}]}',
            BodyInvalid,
            "body.documents[0].text is invalid: a number, not a text",
        ),
        (b'{"inputs":"a","inputs":"b"}', BodyInvalid, "body.inputs is invalid: the field is there twice"),
        (b'{"x":1,"inputs":"a","x" : 1}', BodyInvalid, "body.x is invalid: the field is there twice"),
        (b'{"x":"inputs","inputs":"a","inputs":"b"}', BodyInvalid, "the field is there twice"),
        (
            b'{"inputs":"a","in\\u0070uts":"b"}',
            BodyInvalid,
            "body.inputs is invalid: the field is there twice",
        ),
        (b'{"inputs":["a","\xff"]}', BodyNotJson, "byte 16 is not UTF-8"),
        (b'{"inputs":"a\n"}', BodyNotJson, "byte 12 is 0x0a"),
        (b'{"inputs":"a\\x"}', BodyNotJson, "byte 12 is '\\\\'"),
        (b'{"inputs":["a",]}', BodyNotJson, "byte 15 is ']', where a value is expected"),
        (b'{"inputs":[1,]}', BodyNotJson, "byte 13 is ']', where a value is expected"),
        (b'{"inputs":["a"', BodyNotJson, "it ends after 14 bytes, where , or ] is expected"),
        (b'{"inputs":"a"} x', BodyNotJson, "byte 15 is 'x', where the end is expected"),
        (b'{"x":NaN}', BodyNotJson, "byte 5 is 'N', where a value is expected"),
        (b'{"x":[1,Infinity]}', BodyInvalid, "body.x is invalid: Infinity, which JSON does not have"),
        (b'{"x":[1,oops]}', BodyNotJson, "byte 8 is 'o'"),
        (b'{"x":"\xc3"}', BodyNotJson, "byte 6 is not UTF-8"),
        (b'{"x":["\xc3"]}', BodyNotJson, "byte 7 is not UTF-8"),
        (b"[1]", BodyNotJson, "the body is not a JSON object: a list"),
        (b"{1:2}", BodyNotJson, "byte 1 is '1', where a field's name is expected"),
        (b'{"x":' + b"1" * 100 + b"}", BodyInvalid, "body.x is invalid: a number of more than 64 characters"),
        (
            b'{"x":[' + b"1" * 100 + b"]}",
            BodyInvalid,
            "body.x is invalid: a number of more than 64 characters",
        ),
        (b'{"x":' + b"[" * 2000 + b"]" * 2000 + b"}", BodyInvalid, "body.x is invalid: nested too deeply"),
        (
            b'{"x":"' + b"a" * (MAX_VALUE_BYTES + 1) + b'"}',
            InputTooLong,
            "an option has at most 16384: 16385",
        ),
        (b'{"x":[' + b"1," * MAX_VALUE_BYTES + b"1]}", BodyInvalid, "longer than 16384 bytes"),
        (b'{"' + b"a" * 300 + b'":1}', InputTooLong, "a field's name has at most 256"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(65)) + b"}", BodyInvalid, "more than 64 fields"),
    ],
)
def test_the_first_fault_is_named_with_its_place(body: bytes, kind: type, message: str) -> None:
    error = refusal(body)
    assert type(error) is kind
    assert message in str(error)


@pytest.mark.parametrize(
    ("body", "limits", "message"),
    [
        ({"inputs": ["a"] * 11}, {"inputs": 10}, "at most 10 texts: 11"),
        ({"inputs": [[1]] * 11}, {"inputs": 10}, "at most 10 texts: 11"),
        ({"inputs": ["a"] * 200}, {"inputs": 10}, "at most 10 texts: more than "),
        ({"documents": ["a"] * 11}, {"documents": 10}, "at most 10 documents: 11"),
        (
            {"inputs": ["a", "b" * 11]},
            {"text_characters": 10},
            "body.inputs[1] has too many characters: a text",
        ),
        ({"inputs": "b\n" * 6}, {"text_characters": 10}, "a text has at most 10: 12"),
        ({"inputs": ["abcd"] * 3}, {"characters": 10}, "a request has at most 10: 12"),
        (
            {"inputs": list(range(11))},
            {"text_ids": 10},
            "body.inputs has too many token ids: a text has at most 10",
        ),
        (
            {"inputs": [[1, 2, 3]] * 4},
            {"ids": 10},
            "body.inputs[3] has too many token ids: a request has at most 10",
        ),
    ],
)
def test_a_limit_is_named_with_the_value(body: object, limits: dict[str, int], message: str) -> None:
    error = refusal(json.dumps(body).encode(), replace(LIMITS, **limits))
    assert message in str(error)


def test_fields_are_counted_over_all_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestvec.service.bodies.readers.MAX_BODY_FIELDS", 7)
    documents = [{"text": "a", "title": "b"}] * 3
    assert read(json.dumps({"documents": documents}).encode()) == {"documents": ["a"] * 3}
    error = refusal(json.dumps({"documents": documents, "query": "a"}).encode())
    assert "body is invalid: more than 7 fields in all objects" in str(error)


@pytest.mark.parametrize("prefix", ["", "query: ", '{"image": "'])
def test_a_text_that_carries_an_image_is_as_long_as_the_body(prefix: str) -> None:
    text = prefix + "data:image/png;base64," + "A" * 5000
    limits = replace(LIMITS, text_characters=50, characters=60)
    assert read(json.dumps({"inputs": [text, "a"]}).encode(), limits)["inputs"] == [text, "a"]


class WatchedBody(bytes):
    """Records how many bytes each access covers."""

    accesses: list[int]

    def __getitem__(self, index: Any) -> Any:
        value = super().__getitem__(index)
        if isinstance(index, slice):
            self.accesses.append(len(value))
        return value

    def find(self, what: Any, start: Any = 0, end: Any = None) -> int:
        place = super().find(what, start, end)
        self.accesses.append((min(len(self), end) if place < 0 else place) - start)
        return place

    def rfind(self, what: Any, start: Any = 0, end: Any = None) -> int:
        place = super().rfind(what, start, end)
        self.accesses.append(min(len(self), end) - max(start, place))
        return place


def filled(unit: bytes, before: bytes = b'{"inputs":[', after: bytes = b"]}", size: int = 4 * MIB) -> bytes:
    return before + unit * (size // len(unit)) + unit.rstrip(b",") + after


AT_ONCE = [
    filled(b"null,"),
    filled(b"true,"),
    filled(b"NaN,"),
    filled(b"1.5,"),
    filled(b"[null],"),
    filled(b"{},"),
    filled(b"1", after=b"]}"),
    filled(b"0.1", after=b"]}"),
    filled(b"[", b'{"inputs":', b""),
    filled(b"[", b'{"x":', b""),
    filled(b'{"x":', b'{"x":', b""),
    filled(b"{},", b'{"documents":['),
    filled(b"a", b'{"x":"', b'"}'),
    filled(b"1,", b'{"x":['),
    filled(b'"inputs":"a",', b"{", b"}"),
    filled(b"\xff", b'{"inputs":"', b'"}'),
    filled(b"\x80", b'{"inputs":"\xc3', b'"}'),
    filled(b'"a" ,,', b'{"inputs":['),
]
"""Bodies of 4 MiB whose first fault is near their beginning."""

BY_LIMIT = [
    filled(b'"",'),
    filled(b"1,"),
    filled(b"123456,"),
    filled(b"12,", b'{"inputs":[[', b"]]}"),
    filled(b"w1 ", b'{"inputs":"', b'"}'),
    filled(b"\\n", b'{"inputs":"', b'"}'),
    filled(b'\\"', b'{"inputs":["', b'"]}'),
    filled(b"\\u4e00", b'{"inputs":"', b'"}', 8 * MIB),
    filled(b"\\ud800", b'{"inputs":"', b'"}', 8 * MIB),
    filled("😀".encode(), b'{"inputs":"', b'"}', 8 * MIB),
    filled(b'null,"a",', b'{"documents":['),
]
"""Bodies of 4 or 8 MiB that the limits refuse."""


def measure(body: bytes, limits: InputLimits = LIMITS) -> tuple[list[int], int]:
    """How many bytes each access covered, and the peak of what reading allocated."""
    watched = WatchedBody(body)
    watched.accesses = []
    tracemalloc.start()
    try:
        FIELDS.read(watched, limits)
    except NestvecError as error:
        assert len(str(error)) < 1000
    else:
        assert body in HONEST
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return watched.accesses, peak


HONEST = [
    filled(b'"' + b"w1 " * 600 + b'",', size=3 * MIB),
    filled(b'"' + b"A" * 300_000 + b'",', b'{"inputs":["data:image/png;base64,",', size=4 * MIB),
    filled(b"A", b'{"inputs":["data:image/png;base64,', b'"]}'),
    filled(b" ", b'{"inputs":', b'"a"}'),
]


@pytest.mark.parametrize("body", AT_ONCE)
def test_a_fault_at_the_beginning_ends_the_work(body: bytes) -> None:
    accesses, peak = measure(body)
    assert max(accesses) <= STEP
    assert sum(accesses) <= 8 * STEP
    assert peak <= len(body) / 2


@pytest.mark.parametrize("body", [*BY_LIMIT, *HONEST])
def test_work_is_done_in_steps_and_memory_is_bounded(body: bytes) -> None:
    accesses, peak = measure(body)
    assert max(accesses) <= STEP
    assert sum(accesses) <= 16 * len(body)
    assert peak <= 2 * len(body) + 4 * STEP
