"""Wording: help texts, errors, docstrings and documentation avoid phrases that read oddly."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("schemas/nestvec_schemas", "exporters/nestvec_exporters", "plugin/nestvec", "examples")

BANNED = {
    r"\bleave (it|the \w+|form) away\b": "omit it",
    r"\bcannot be had\b": "cannot be fetched; is not available",
    r"\bnot to be had\b": "not available",
    r"\bhas (it )?not\b(?! (been|yet))": "does not have",
    r"\bwhat is (seldom|asked|drawn)\b": "name the thing",
    r"\bis drawn by\b": "is chosen by; random seed",
    r"\bone who awaits\b": "async",
    r"\bso many\b": "the N largest; N",
    r"\bwhoever asks\b": "the caller",
    r"\bthere: ": "Available: ",
    r"\bhas as much to do\b": "is at capacity",
    r"\bbe told (which|whether|of)\b": "be determined",
    r"\bcannot be told\b": "cannot be determined",
    r"\ba dear one\b": "an expensive one",
    r"\blearned by heart\b": "overfitted",
    r"\bthe whole way\b": "end to end",
    r"\bin the midst\b": "in the middle",
    r"\b(gone|go) on with\b": "continue with; resume",
    r"(?<!~/)\bpictures?\b": "image",
    r"\btokenis(e|er|ing|ed)\b": "tokenize, tokenizer",
}
"""A phrase, as a pattern, and what to write instead."""


def lines() -> list[tuple[str, int, str]]:
    paths = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    paths += [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        # A single word in quotes is a name of a wire format, a manifest or a data set.
        (str(path.relative_to(ROOT)), number, re.sub(r'"\w+"', '""', line))
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]


def test_no_phrase_reads_oddly() -> None:
    odd = [
        f"{path}:{number} {match.group(0)!r}: write {instead!r}"
        for path, number, line in lines()
        for pattern, instead in BANNED.items()
        if (match := re.search(pattern, line, re.IGNORECASE))
    ]
    assert not odd, f"{len(odd)}\n" + "\n".join(odd)
