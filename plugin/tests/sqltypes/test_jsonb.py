"""Texts of JSON as PostgreSQL's JSONB has them."""

from __future__ import annotations

import pytest

from nestvec.sqltypes.jsonb import jsonb_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"bb": 1, "a": 2, "é": 3, "a": 4}', '{"a":4,"bb":1,"é":3}'),
        ("[1.50, -0, -0.0, 1E+2, 0e5]", "[1.50,0,0.0,100,0]"),
        (r'"\u00e9\n\ud83d\ude00"', r'"é\n😀"'),
        # No documents of PostgreSQL's
        (r'"\u0000"', r'"\u0000"'),
        (r'"\ud83d"', r'"\ud83d"'),
        ("[NaN]", "[NaN]"),
        ("[1e999]", "[1e999]"),
        ("{", "{"),
    ],
)
def test_a_document_has_postgresqls_text(text: str, expected: str) -> None:
    assert jsonb_text(text) == expected


def test_a_printed_document_has_spaces() -> None:
    assert jsonb_text('{"b":[1,{}],"a":{"c":","}}', spaced=True) == '{"a": {"c": ","}, "b": [1, {}]}'
