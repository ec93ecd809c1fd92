"""What commands print on standard output: tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click
import orjson


def print_json(value: object) -> None:
    """One JSON document, indented on a terminal."""
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    click.echo(orjson.dumps(value, option=option | orjson.OPT_NON_STR_KEYS).decode())


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> None:
    """A table as wide as the terminal (100 columns elsewhere); numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = [list(row) for row in rows]
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(columns):
        numbers = bool(shown) and all(isinstance(row[index], (int, float)) for row in shown)
        table.add_column(name, justify="right" if numbers else "left", overflow="ellipsis")
    for row in shown:
        table.add_row(*(Text(_cell(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
