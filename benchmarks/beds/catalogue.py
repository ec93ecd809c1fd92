"""All beds, by name, each made when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.beds import book_beds, code_beds, folder_beds, manual_beds, package_beds
from benchmarks.beds.bed import Bed


def catalogue(data: Path, sources: Path) -> dict[str, Callable[[], Bed]]:
    """What makes each bed; ``data`` holds scifact, cranfield and emoji, ``sources`` unpacked packages."""
    return {
        "scifact": partial(folder_beds.beir, data / "scifact"),
        "cranfield": partial(folder_beds.beir, data / "cranfield"),
        "docstrings-first-line": code_beds.docstrings_by_first_line,
        "docstrings-name": code_beds.docstrings_by_name,
        "manuals-name-line": manual_beds.manuals_by_name_line,
        "packages-synopsis": package_beds.packages_by_synopsis,
        "packages-name": package_beds.packages_by_name,
        "packages-tags": package_beds.packages_by_tags,
        "computing-terms": partial(book_beds.computing_by_headword, sources),
        "glosses-words": partial(book_beds.glosses_by_words, sources),
        "definitions-example": partial(book_beds.words_by_example, sources),
        "manual-sections": partial(book_beds.manual_sections_by_title, sources),
        "scifact-halves": partial(folder_beds.beir_halves, data / "scifact"),
        "cranfield-titles": partial(folder_beds.beir_titles, data / "cranfield"),
        "emoji-tags": partial(folder_beds.emoji_by_tags, data / "emoji"),
    }
