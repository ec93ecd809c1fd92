"""The delimiter of a CSV file, from its first rows."""

from __future__ import annotations

import csv
from typing import Final

DELIMITERS: Final = (",", ";", "\t", "|")
_SAMPLE_ROWS: Final = 100


def detect_delimiter(sample: str, quote: str, *, complete: bool) -> str:
    """The candidate that splits the first row, and most of the others into as many cells; else a comma.

    ``complete`` says whether the sample is the whole file: its last line may be cut off otherwise.
    """
    lines = sample.splitlines(keepends=True)
    if not complete and len(lines) > 1:
        lines = lines[:-1]
    return max(DELIMITERS, key=lambda delimiter: _score(lines, delimiter, quote))


def _score(lines: list[str], delimiter: str, quote: str) -> tuple[float, int]:
    """The share of rows with as many cells as the first, and that number; nothing if it is 1."""
    widths: list[int] = []
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
    )
    try:
        for row in reader:
            if row:
                widths.append(len(row))
            if len(widths) == _SAMPLE_ROWS:
                break
    except csv.Error:
        pass
    if not widths or widths[0] == 1:
        return 0.0, 0
    return widths.count(widths[0]) / len(widths), widths[0]
