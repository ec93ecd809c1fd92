"""Patterns whose first match is their longest, and others, which are refused by name."""

from __future__ import annotations

import pytest

from nestvec.sql.relational.rewrites.longest_matches import check_longest
from nestvec_schemas.errors import SqlNotSupported

ALIKE = (
    ("", "g"),
    (r"\s+", "g"),
    (r"^\s+|\s+$", "g"),
    ("cat|dog", "g"),
    ("catalog|cat", ""),
    ("cat|horse", ""),
    ("horse|cat", "i"),
    ("^https?://", ""),
    (r"(www\.)?example", ""),
    (r"\d+(\.\d+)?", "g"),
    (r"\w+(\s+\w+)*", "g"),
    ("(^|,)foo", "g"),
    (r"(Mr|Dr|Prof)\.\s*", ""),
    ("<.*?>", "g"),
    ("(a|b)+", "g"),
    ("a?[ab]?[abc]*c{1,2}b?", ""),
    ("b*", ""),
    ("[[:alpha:]]+[^[:alpha:]]?", "g"),
    (r"\x41+\u00e4", ""),
    (r",\s*", "s"),
    ("a$", "s"),
    ("(", ""),
)

MAYBE_SHORTER = (
    ("a|ab", ""),
    ("cat|catalog", ""),
    ("(cat|catalog)", "g"),
    ("(a|ab)(c|bcd)?", ""),
    ("a?(ab)?", ""),
    ("a*(ab)?", ""),
    ("(a|ab)c|b", ""),
    ("[ab]|ac", ""),
    ("A|ab", "i"),
    (r"a*b+?", ""),
    ("(a|b)*?c", ""),
    ("(a*)+", ""),
    ("(|a)", ""),
    (r"\w+(.x)?", ""),
    (r"(é)?(ä)?(éb)?", ""),
    (r"\x41|\x41z", ""),
    ("(?i)a|AB", ""),
)


@pytest.mark.parametrize(("pattern", "flags"), ALIKE)
def test_a_pattern_that_is_the_same_in_both(pattern: str, flags: str) -> None:
    check_longest(pattern, "regexp_replace()", flags)


@pytest.mark.parametrize(("pattern", "flags"), MAYBE_SHORTER)
def test_a_pattern_whose_first_match_may_be_shorter(pattern: str, flags: str) -> None:
    with pytest.raises(SqlNotSupported, match="its first match may not be its longest") as caught:
        check_longest(pattern, "regexp_replace()", flags)
    assert pattern in caught.value.cause
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("pattern", "flags", "message"),
    [
        ("b*", "g", "also matches no characters"),
        (r"\s*", "s", "also matches no characters"),
        ("$", "s", "also matches no characters"),
        ("^a", "s", r"\^ in the pattern of f\(\)"),
        (r"a\y", "s", r"\\y in the pattern of f\(\)"),
        ("foo(?=b)", "", r"\(\?= in a pattern of f\(\)"),
        ("(?<!a)b", "", r"\(\?< in a pattern of f\(\)"),
    ],
)
def test_a_pattern_that_duckdb_matches_otherwise(pattern: str, flags: str, message: str) -> None:
    with pytest.raises(SqlNotSupported, match=message):
        check_longest(pattern, "f()", flags)
