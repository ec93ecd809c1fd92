"""Beds of reference works that Debian packages carry: a dictionary of computing, WordNet, Python's manual.

``sources`` is a folder that dict-foldoc, wordnet-base and python3.11-doc were unpacked into:
``apt-get download PACKAGE`` and ``dpkg -x FILE sources``.
"""

from __future__ import annotations

import gzip
import html
import re
from collections import Counter
from pathlib import Path

from benchmarks.beds.bed import Bed, bed_of_pairs

_MAX_CHARS = 1200
_SECTION = re.compile(
    r"<h[1-4]>(.*?)<a class=\"headerlink\".*?</h[1-4]>(.*?)(?=<section|</section|<h[1-4]>)", re.DOTALL
)


def computing_by_headword(sources: Path) -> Bed:
    """An entry of FOLDOC without its headword, searched by the headword."""
    text = gzip.decompress((sources / "usr/share/dictd/foldoc.dict.dz").read_bytes()).decode(
        "utf-8", "replace"
    )
    pairs = []
    for entry in re.split(r"\n(?=\S)", text):
        headword, _, body = entry.partition("\n")
        body = re.sub(r"[{}]|<[^>]*>|\(\d{4}-\d\d-\d\d\)|\[[^]]*\?\]", "", body)
        if len(body) >= 80 and not headword.startswith("00-"):
            pairs.append((headword, body[:_MAX_CHARS]))
    return bed_of_pairs("computing terms", pairs)


def glosses_by_words(sources: Path) -> Bed:
    """A WordNet gloss of nouns, searched by the words that it explains."""
    return bed_of_pairs("glosses by words", ((words, gloss) for words, gloss, _ in _synsets(sources)))


def words_by_example(sources: Path) -> Bed:
    """The words and definition of a WordNet synset, searched by its example sentence."""
    pairs = [(example, f"{words}: {gloss}") for words, gloss, example in _synsets(sources) if example]
    return bed_of_pairs("definitions by example", pairs)


def manual_sections_by_title(sources: Path) -> Bed:
    """A section of Python's manual without its title, searched by the title."""
    pairs = []
    for path in sorted((sources / "usr/share/doc/python3.11/html").rglob("*.html")):
        for title, body in _SECTION.findall(path.read_text(errors="replace")):
            heading, text = _text(title), _text(body)
            if len(heading.split()) > 1 and len(text) >= 80:
                pairs.append((heading, text[:_MAX_CHARS]))
    repeated = Counter(heading for heading, _ in pairs)
    return bed_of_pairs("manual sections by title", (pair for pair in pairs if repeated[pair[0]] == 1))


def _text(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def _synsets(sources: Path) -> list[tuple[str, str, str]]:
    """Words, definition and first example ("" if none) of each synset."""
    synsets = []
    for kind in ("noun", "verb", "adj"):
        for line in (sources / f"usr/share/wordnet/data.{kind}").read_text().splitlines():
            data, bar, gloss = line.partition(" | ")
            fields = data.split()
            if not bar or line.startswith("  "):
                continue
            words = ", ".join(
                word.replace("_", " ").split("(")[0] for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            )
            definition, _, rest = gloss.partition('; "')
            if len(definition.split()) > 4:
                synsets.append((words, definition.strip(), rest.split('"')[0].strip()))
    return synsets
