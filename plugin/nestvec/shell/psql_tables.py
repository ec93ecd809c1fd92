"""Tables in the very form of psql's ``aligned`` and ``unaligned`` formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nestvec.terminal.wrapping import text_width


@dataclass(frozen=True)
class PrintOptions:
    """What is printed around the values of a result."""

    tuples_only: bool = False
    """Leave out names of columns and counts of rows."""
    footer: bool = True
    """End an aligned or unaligned result with its number of rows."""
    null: str | None = None
    """How NULL is printed; None is the default of the format."""
    field_separator: str = "|"
    record_separator: str = "\n"
    title: str = ""


@dataclass(frozen=True)
class ResultTexts:
    """A result as texts that are ready to print."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    """Which columns hold numbers, which are right-aligned."""

    @property
    def count(self) -> str:
        """``(2 rows)``."""
        return f"({len(self.rows)} {'row' if len(self.rows) == 1 else 'rows'})"


def unaligned_text(texts: ResultTexts, options: PrintOptions, expanded: bool) -> str:
    """As ``psql -A`` prints it."""
    lines = [options.title] if options.title and not options.tuples_only else []
    if expanded:
        pairs = [
            [options.field_separator.join(pair) for pair in zip(texts.columns, row, strict=True)]
            for row in texts.rows
        ]
        for number, record in enumerate(pairs):
            lines += [*([""] if number else []), *record]
    else:
        lines += [] if options.tuples_only else [options.field_separator.join(texts.columns)]
        lines += [options.field_separator.join(row) for row in texts.rows]
        lines += [texts.count] if _has_footer(options) else []
    if not lines:
        return ""
    text = options.record_separator.join(lines)
    # psql ends a result with a line end unless records end with NUL.
    return text + ("\0" if options.record_separator == "\0" else "\n")


def aligned_text(texts: ResultTexts, options: PrintOptions, expanded: bool) -> str:
    """As psql prints it unless told otherwise, with a border of 1."""
    if expanded and texts.rows:
        lines = list(_records(texts, options))
        return "\n".join([*_title(options), *lines, "", ""])
    widths = [
        max([text_width(name), *(text_width(row[at]) for row in texts.rows)])
        for at, name in enumerate(texts.columns)
    ]
    lines = []
    if not options.tuples_only and not expanded:
        centred = (
            _spread(name, width - text_width(name)) for name, width in zip(texts.columns, widths, strict=True)
        )
        lines.append("|".join(f" {name} " for name in centred))
        lines.append("+".join("-" * (width + 2) for width in widths))
    for row in texts.rows:
        lines += _row_lines(row, widths, texts.numeric)
    if _has_footer(options):
        lines.append(texts.count)
    return "\n".join([*_title(options, sum(widths) + 3 * len(widths) - 1), *lines, "", ""])


def _has_footer(options: PrintOptions) -> bool:
    return options.footer and not options.tuples_only


def _title(options: PrintOptions, width: int = 0) -> list[str]:
    if not options.title or options.tuples_only:
        return []
    return [" " * max(0, (width - text_width(options.title)) // 2) + options.title]


def _spread(name: str, blanks: int) -> str:
    """A name in the middle of its column."""
    return " " * (blanks // 2) + name + " " * (blanks - blanks // 2)


def _row_lines(row: tuple[str, ...], widths: list[int], numeric: tuple[bool, ...]) -> Iterator[str]:
    """The lines of one row: a value with several lines ends each but its last with ``+``."""
    cells = [cell.split("\n") for cell in row]
    for number in range(max(map(len, cells), default=1)):
        parts = []
        for at, lines in enumerate(cells):
            text = lines[number] if number < len(lines) else ""
            goes_on, is_last = number + 1 < len(lines), at + 1 == len(cells)
            blanks = " " * (widths[at] - text_width(text))
            padded = blanks + text if numeric[at] else text + blanks
            if is_last and not goes_on and not (numeric[at] and text):
                padded = text
            parts.append(f" {padded}{'+' if goes_on else '' if is_last else ' '}")
        yield "|".join(parts)


def _records(texts: ResultTexts, options: PrintOptions) -> Iterator[str]:
    """A line for each value, with a header for each row."""
    names = max((text_width(name) for name in texts.columns), default=0)
    values = max((text_width(value) for row in texts.rows for value in row), default=0)
    for number, row in enumerate(texts.rows, 1):
        if not options.tuples_only:
            yield _record_rule(f"[ RECORD {number} ]", names, values)
        elif number > 1:
            yield _record_rule("", names, values)
        for name, value in zip(texts.columns, row, strict=True):
            lines = value.split("\n")
            label = name + " " * (names - text_width(name))
            for at, line in enumerate(lines):
                mark = " " * (values - text_width(line)) + "+" if at + 1 < len(lines) else ""
                yield f"{label} | {line}{mark}"
                label = " " * names


def _record_rule(label: str, names: int, values: int) -> str:
    """The line before a row, over the bar between names and values."""
    rule = "-" * (names + 1) + "+" + "-" * (values + 1)
    return f"-{label}" + rule[len(label) + 1 :]
