"""Tables on standard output. On a terminal they fit its width; in a file or a pipe nothing is cut or wrapped.

A table that is too wide for the terminal is printed without its empty columns and with its longest columns
wrapped, or in the expanded form, one line per column, where it still would not fit.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import click
import orjson

from nestvec.terminal.values import escape_control_characters, shortest
from nestvec.terminal.wrapping import text_width, wrap

Expanded = Literal["auto", "on", "off"]

_MIN_WRAPPED_WIDTH: Final = 16
"""The minimum width of a wrapped column, in characters."""

_MAX_WRAPPED_LINES: Final = 8
"""Lines of one row beyond which the expanded form reads better."""


@dataclass(frozen=True)
class TextTable:
    """A table of texts that are ready to print."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    """The cells; None is no value and is printed as ``null``."""
    numeric: tuple[bool, ...]
    """Which columns hold numbers: they are right-aligned and never wrapped."""
    null: str = ""
    """What is printed, dimmed, in place of None."""

    def cell(self, row: int, column: int) -> str:
        """The text of one cell as it is printed."""
        text = self.rows[row][column]
        return self.null if text is None else text

    def widths(self) -> list[int]:
        """Columns of the terminal that each column takes if nothing is wrapped."""
        return [
            max([text_width(name), *(text_width(self.cell(row, at)) for row in range(len(self.rows)))])
            for at, name in enumerate(self.columns)
        ]


def print_json(value: object, default: Callable[[Any], Any] | None = None) -> None:
    """Print one JSON document, indented on a terminal. ``default`` says what JSON does not have."""
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    click.echo(orjson.dumps(value, default, option | orjson.OPT_NON_STR_KEYS).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """Print a table of measurements or descriptions: floats with four decimals, None as nothing.

    Columns without any value are left out, in a pipe too.
    """
    table = TextTable(
        tuple(columns),
        tuple(tuple(None if value is None else format_figure(value) for value in row) for row in rows),
        tuple(is_numeric([row[at] for row in rows]) for at in range(len(columns))),
    )
    print_text_table(without_empty_columns(table), title=title)


def print_text_table(
    table: TextTable, expanded: Expanded = "auto", title: str | None = None
) -> tuple[str, ...]:
    """Print a table in the form that fits, or in the one that ``expanded`` selects.

    Returns the names of the empty columns that it left out.
    """
    limit = terminal_width()
    if expanded == "on":
        _print_expanded(table, limit, title)
        return ()
    shown, widths = table, table.widths()
    if limit is not None and total_width(widths) > limit:
        shown = without_empty_columns(table)
        fitted = fit_widths(shown, limit)
        if expanded == "auto" and (fitted is None or _tallest_row(shown, fitted) > _MAX_WRAPPED_LINES):
            _print_expanded(table, limit, title)
            return ()
        widths = fitted or shown.widths()
    _print_grid(shown, widths, title)
    if len(shown.columns) == len(table.columns):
        return ()
    return tuple(name for at, name in enumerate(table.columns) if not _has_value(table, at))


def without_empty_columns(table: TextTable) -> TextTable:
    """The table without the columns that have no value in any row; a table without rows is unchanged."""
    nonempty = [
        at for at in range(len(table.columns)) if any(row[at] not in (None, "") for row in table.rows)
    ]
    if not nonempty or not table.rows:
        return table
    return replace(
        table,
        columns=tuple(table.columns[at] for at in nonempty),
        rows=tuple(tuple(row[at] for at in nonempty) for row in table.rows),
        numeric=tuple(table.numeric[at] for at in nonempty),
    )


def fit_widths(table: TextTable, limit: int) -> list[int] | None:
    """Widths with which the table fits ``limit``, the longest columns wrapped; None if there are none."""
    widths = table.widths()
    floors = [
        width if numeric else max(text_width(name), min(width, _MIN_WRAPPED_WIDTH))
        for name, width, numeric in zip(table.columns, widths, table.numeric, strict=True)
    ]
    if total_width(floors) > limit:
        return None
    while (excess := total_width(widths) - limit) > 0:
        wrappable = [at for at in range(len(widths)) if widths[at] > floors[at]]
        longest = max(wrappable, key=lambda at: widths[at])
        second = max((widths[at] for at in wrappable if at != longest), default=0)
        # Down to the next longest at once, so that both are shortened equally afterwards.
        aim = max(widths[longest] - excess, min(second, widths[longest] - 1))
        widths[longest] = max(floors[longest], aim)
    return widths


def total_width(widths: Sequence[int]) -> int:
    """The width of a table with borders, whose columns have these widths."""
    return sum(widths) + 3 * len(widths) + 1


def terminal_width() -> int | None:
    """The width of the terminal behind standard output; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def is_numeric(values: Sequence[object]) -> bool:
    """Whether all values are numbers, apart from missing ones."""
    present = [value for value in values if value is not None]
    return bool(present) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in present
    )


def format_figure(value: object) -> str:
    """A measured figure with four decimals, in short form if those would all be zero; else the text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or abs(value) >= 5e-5 else shortest(float(f"{value:.3g}"))
    return escape_control_characters(str(value))


def _has_value(table: TextTable, column: int) -> bool:
    return any(row[column] not in (None, "") for row in table.rows)


def _print_grid(table: TextTable, widths: Sequence[int], title: str | None) -> None:
    """With borders; a line between rows if one of them has several lines."""
    header = (
        _aligned(click.style(name, bold=True), width - text_width(name), numeric)
        for name, width, numeric in zip(table.columns, widths, table.numeric, strict=True)
    )
    rows = [list(_grid_row(table, row, widths)) for row in range(len(table.rows))]
    separated = any(len(row) > 1 for row in rows)
    lines = [*_title(title), _rule("┏━┳┓", widths), f"┃ {' ┃ '.join(header)} ┃", _rule("┡━╇┩", widths)]
    for number, row in enumerate(rows):
        lines += [_rule("├─┼┤", widths)] if separated and number else []
        lines += row
    click.echo("\n".join([*lines, _rule("└─┴┘", widths)]))


def _grid_row(table: TextTable, row: int, widths: Sequence[int]) -> Iterator[str]:
    """The lines of one row."""
    cells = [
        [
            _aligned(_styled(table, row, at, line), width - text_width(line), table.numeric[at])
            for line in wrap(table.cell(row, at), width)
        ]
        for at, width in enumerate(widths)
    ]
    blanks = [" " * width for width in widths]
    for line in range(max(map(len, cells))):
        parts = (cell[line] if line < len(cell) else blank for cell, blank in zip(cells, blanks, strict=True))
        yield f"│ {' │ '.join(parts)} │"


def _aligned(text: str, padding: int, numeric: bool) -> str:
    return " " * padding + text if numeric else text + " " * padding


def _styled(table: TextTable, row: int, column: int, line: str) -> str:
    """A line of a cell, dimmed if the cell has no value."""
    return click.style(line, dim=True) if table.rows[row][column] is None and line else line


def _rule(corners: str, widths: Sequence[int]) -> str:
    """A border: its left corner, its line, the sign between columns, its right corner."""
    left, line, between, right = tuple(corners)
    return left + between.join(line * (width + 2) for width in widths) + right


def _title(title: str | None) -> list[str]:
    return [click.style(title, italic=True)] if title else []


def _print_expanded(table: TextTable, limit: int | None, title: str | None) -> None:
    """One line per column and a header per row, as in psql; values are wrapped on a terminal."""
    names = max(map(text_width, table.columns), default=0)
    value_width = None if limit is None else max(limit - names - 3, _MIN_WRAPPED_WIDTH)
    texts = (table.cell(row, at) for row in range(len(table.rows)) for at in range(len(table.columns)))
    header_width = names + 3 + max(map(text_width, texts), default=0)
    lines = _title(title)
    for row in range(len(table.rows)):
        header = f"─[ row {row + 1} ]".ljust(min(header_width, limit or header_width), "─")
        lines.append(click.style(header, dim=True))
        for at, name in enumerate(table.columns):
            label = name + " " * (names - text_width(name))
            text = table.cell(row, at)
            for line in text.split("\n") if value_width is None else wrap(text, value_width):
                lines.append(f"{label} │ {_styled(table, row, at, line)}")
                label = " " * names
    click.echo("\n".join(lines))


def _tallest_row(table: TextTable, widths: Sequence[int]) -> int:
    """The height of the tallest row in lines, wrapped to ``widths``."""
    cells = ((table.cell(row, at), wide) for row in range(len(table.rows)) for at, wide in enumerate(widths))
    return max((len(wrap(text, wide)) for text, wide in cells), default=0)
