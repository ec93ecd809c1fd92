"""PostgreSQL's patterns in the notation of RE2."""

from __future__ import annotations

import pytest

from nestvec.sql.relational.formats.regular_expressions import postgres_regex, similar_regex


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^a.b$", r"^a.b$"),
        (r"\w\W", r"[\p{L}\p{N}_][^\p{L}\p{N}_]"),
        (r"[\w.]", r"[\p{L}\p{N}_.]"),
        (r"[^[:alpha:]x]", r"[^\p{L}x]"),
        (r"[]a][^]a]", r"[]a][^]a]"),
        (r"a[[]b", r"a[\[]b"),
        (r"\[a\]\.", r"\[a\]\."),
        (r"\ya\Z", r"\ba\z"),
    ],
)
def test_regular_expression(pattern: str, expected: str) -> None:
    assert postgres_regex(pattern) == expected


def test_a_case_is_any_letter_without_regard_to_case() -> None:
    assert postgres_regex("[[:upper:]]") == r"[\p{Lu}]"
    assert postgres_regex("[[:upper:]]", fold=True) == r"[\p{L}]"
    assert postgres_regex("(?i)[[:lower:]]") == r"(?i)[\p{L}]"


@pytest.mark.parametrize(
    ("pattern", "escape", "expected"),
    [
        ("a_b%", "\\", "(?s)a.b.*"),
        (r"a\%b", "\\", "(?s)a%b"),
        ("a!_b!!", "!", "(?s)a_b!"),
        ("(a|b).[%_]", "\\", r"(?s)(a|b)\.[%_]"),
        (r"a\b", "", r"(?s)a\\b"),
    ],
)
def test_pattern_of_similar_to(pattern: str, escape: str, expected: str) -> None:
    assert similar_regex(pattern, escape) == expected
