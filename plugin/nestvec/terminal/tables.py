"""What commands print on standard output: tables for people, JSON for programs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import click
import orjson

_WIDTH = 100
"""Of a table that goes to a file or a pipe, in characters."""

_LEAST = 8
"""A cut cell keeps so many characters."""


def print_json(value: object) -> None:
    """One JSON document, indented on a terminal."""
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    click.echo(orjson.dumps(value, option=option | orjson.OPT_NON_STR_KEYS).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """A table as wide as the terminal, a line a row: long texts are cut; numbers stand to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
    numbers = [_is_numbers([row[at] for row in rows]) for at in range(len(columns))]
    cells = fitted(columns, [[_shown(value) for value in row] for row in rows], width, keep=numbers)
    table = Table(title=title, title_justify="left")
    for name, number in zip(columns, numbers, strict=True):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in cells:
        table.add_row(*map(Text, row))
    # Where not even the cut cells fit, lines longer than the terminal beat columns squeezed to nothing.
    Console(width=max(width, _needed(_widths(columns, cells)))).print(table)


def fitted(
    columns: Sequence[str], cells: Sequence[Sequence[str]], width: int, keep: Sequence[bool]
) -> list[list[str]]:
    """Cut the longest columns, not those of ``keep``, until the table is ``width`` characters wide."""
    widths = _widths(columns, cells)
    while (excess := _needed(widths) - width) > 0:
        cuttable = [at for at in range(len(widths)) if not keep[at] and widths[at] > _least(columns[at])]
        if not cuttable:
            break
        longest = max(cuttable, key=lambda at: widths[at])
        others = max((widths[at] for at in cuttable if at != longest), default=0)
        aim = max(widths[longest] - excess, min(others, widths[longest] - 1))
        widths[longest] = max(_least(columns[longest]), aim)
    return [[_cut(text, widths[at]) for at, text in enumerate(row)] for row in cells]


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max([len(name), *(len(row[at]) for row in cells)]) for at, name in enumerate(columns)]


def _needed(widths: Sequence[int]) -> int:
    return sum(widths) + 3 * len(widths) + 1


def _least(name: str) -> int:
    return max(_LEAST, len(name))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _is_numbers(values: Sequence[object]) -> bool:
    there = [value for value in values if value is not None]
    return bool(there) and all(isinstance(value, (int, float)) for value in there)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())
