"""Beds of Debian packages: descriptions searched by synopses, synopses by names and by tags."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.beds.bed import Bed, bed_of_pairs, words_of

_STATUS = Path("/var/lib/dpkg/status")
_SKIPPED_TAGS = ("implemented-in", "role", "made-of", "devel", "uitoolkit", "suite", "network")


def packages_by_synopsis() -> Bed:
    """The long description of an installed package, searched by its one line."""
    pairs = []
    for record in _records(_STATUS.read_text()):
        synopsis, _, text = record.get("Description", "").partition("\n")
        if len(text) >= 80:
            pairs.append((synopsis, text.replace("\n.\n", "\n")))
    return bed_of_pairs("packages by synopsis", pairs)


def packages_by_name() -> Bed:
    """The one line of a package of the archive, searched by its name."""
    pairs = [
        (words_of(record["Package"]), record["Description"])
        for record in _available()
        if len(words_of(record["Package"]).split()) > 1 and len(record.get("Description", "").split()) > 3
    ]
    return bed_of_pairs("packages by name", pairs)


def packages_by_tags() -> Bed:
    """The one line of a package with its name, searched by the tags that people gave it."""
    pairs = []
    for record in _available():
        tags = [tag.strip() for tag in record.get("Tag", "").replace("\n", " ").split(",")]
        words = [
            words_of(tag.partition("::")[2])
            for tag in tags
            if "::" in tag and not tag.startswith(_SKIPPED_TAGS)
        ]
        if len(words) > 3 and record.get("Description"):
            pairs.append((" ".join(dict.fromkeys(words)), f"{record['Package']}: {record['Description']}"))
    return bed_of_pairs("packages by tags", pairs)


def _available() -> Iterator[dict[str, str]]:
    dump = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True, text=True).stdout
    return _records(dump)


def _records(text: str) -> Iterator[dict[str, str]]:
    """The records of a Debian control file, each by its fields."""
    for block in text.split("\n\n"):
        record: dict[str, str] = {}
        field = ""
        for line in block.splitlines():
            if line.startswith(" "):
                record[field] = f"{record.get(field, '')}\n{line.strip()}"
            else:
                field, _, value = line.partition(": ")
                record[field] = value.strip()
        if "Package" in record:
            yield record
