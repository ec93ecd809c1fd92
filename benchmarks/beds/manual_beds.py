"""A bed of manual pages: descriptions searched by NAME lines."""

from __future__ import annotations

import gzip
import re
from functools import cache
from pathlib import Path

from benchmarks.beds.bed import Bed, bed_of_pairs, draw

_FOLDER = Path("/usr/share/man")
_SECTIONS = ("man1", "man2", "man3", "man8")
_MAX_PAGES = 2500
_MIN_CHARS = 80
_MAX_CHARS = 1200


def manuals_by_name_line() -> Bed:
    """The description of a manual page, searched by what its NAME line says after the dash."""
    pairs = []
    for source in _pages():
        name, description = _section(source, "NAME"), _section(source, "DESCRIPTION")
        _, dash, summary = plain(name).partition(" - ")
        text = plain(description)[:_MAX_CHARS]
        if dash and len(summary.split()) > 2 and len(text) >= _MIN_CHARS:
            pairs.append((summary, text))
    return bed_of_pairs("manual pages by NAME line", pairs)


def plain(source: str) -> str:
    """Manual source (man or mdoc macros) as text."""
    lines = []
    for line in source.splitlines():
        if line.startswith(('.\\"', "'\\\"", ".IX", ".ie", ".el", ".if", ".ds", ".nr", ".so", ".TH")):
            continue
        if line.startswith(".Nd"):
            line = " - " + line[3:]
        lines.append(re.sub(r"^[.'][A-Za-z]{1,3}\s*", "", line))
    text = " ".join(lines)
    text = re.sub(r"\\f(?:\[\w*\]|\(\w\w|.)|\\s[-+]?\d+|\\[&|^/,]|\\\*\(..", "", text)
    text = text.replace("\\(bu", "").replace("\\(aq", "'").replace("\\(em", " - ").replace("\\(en", "-")
    text = re.sub(r"\\\((?:lq|rq|oq|cq)|\\\[\w+\]|\\\(..", " ", text)
    return " ".join(text.replace("\\-", "-").replace("\\e", "\\").replace('"', "").split())


def _section(source: str, heading: str) -> str:
    match = re.search(
        rf"^\.S[hH]\s+\"?{heading}\"?\s*$(.*?)(?=^\.S[hH]\s|\Z)", source, re.MULTILINE | re.DOTALL
    )
    return match[1].strip() if match else ""


@cache
def _pages() -> tuple[str, ...]:
    paths = {str(path): path for section in _SECTIONS for path in (_FOLDER / section).glob("*.gz")}
    pages = []
    for name in draw(paths, _MAX_PAGES):
        if paths[name].is_symlink():
            continue
        pages.append(gzip.decompress(paths[name].read_bytes()).decode("utf-8", "replace"))
    return tuple(pages)
