"""Backslash commands: a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import click

from nestvec.collections import lifecycle
from nestvec.milvus.catalog import Table, read_table
from nestvec.shell.shell import Shell
from nestvec.sql.bind.types import written
from nestvec.terminal.tables import print_table
from nestvec_schemas.errors import SqlSyntaxError, nearest
from nestvec_schemas.model_name import named


@dataclass(frozen=True)
class BackslashCommand:
    """``takes`` is what follows its name, in words; empty for nothing."""

    run: Callable[[Shell, str], None]
    description: str
    argument: str = ""


def run_backslash_command(shell: Shell, line: str) -> None:
    """Run one line. Raises SqlSyntaxError with the nearest name, and what Milvus raises."""
    name, _, rest = line.strip().rstrip(";").partition(" ")
    row = BACKSLASH_COMMANDS.get(name)
    argument = rest.strip()
    if row is None:
        raise SqlSyntaxError(
            "there is no such command",
            value=name,
            next_step=f"\\? lists them.{nearest(name, BACKSLASH_COMMANDS)}",
        )
    if argument and not row.argument:
        raise SqlSyntaxError(f"{name} takes nothing", value=argument, next_step=f"Write {name}.")
    row.run(shell, argument)


def _describe(shell: Shell, name: str) -> None:
    if name:
        _columns(shell, _folded_name(shell, name))
        return
    tables = [read_table(shell.client, table) for table in lifecycle.names(shell.client)]
    if not tables:
        click.echo("The database is empty: CREATE TABLE makes a collection.", err=True)
        return
    print_table(
        ("table", "columns", "vectors", "description"),
        [
            (
                table.name,
                len(table.columns),
                ", ".join(c.name for c in table.columns if c.is_vector),
                table.description,
            )
            for table in tables
        ],
    )


def _columns(shell: Shell, name: str) -> None:
    description, table = lifecycle.describe(shell.client, name), read_table(shell.client, name)
    rows = _row_count(description["rows"])
    suffix = f": {table.description}" if table.description else ""
    click.echo(f"{table.name}{suffix} ({rows})")
    sources = {one.column: f"{one.maker} of {one.source}" for one in table.embeddings}
    lines = [
        (
            column.name,
            written(column),
            one["key"],
            "yes" if column.nullable else None,
            sources.get(column.name) or table.generated.get(column.name),
            _index(table, column.name),
        )
        for one, column in zip(description["columns"], table.columns, strict=True)
    ]
    print_table(("column", "type", "key", "null", "made of", "index"), lines)


def _row_count(rows: int | None) -> str:
    if rows is None:
        return "not loaded"
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _dims(shell: Shell, name: str) -> None:
    names = [_folded_name(shell, name)] if name else lifecycle.names(shell.client)
    rows = [row for table_name in names for row in _family_rows(shell, table_name)]
    if not rows:
        click.echo("No column is embedded by a nestvec service.", err=True)
        return
    print_table(("table", "source", "column", "dim", "bytes a row", "exit", "encoder", "index"), rows)


def _family_rows(shell: Shell, name: str) -> list[tuple[object, ...]]:
    """The vectors that are made of each text, shortest first."""
    description = lifecycle.describe(shell.client, name)
    ordered = sorted(
        description["embeddings"],
        key=lambda embedding: (embedding["source"], embedding["encoder"], embedding["dim"]),
    )
    return [
        (
            description["collection"],
            embedding["source"],
            embedding["column"],
            embedding["dim"] or (embedding["top"] and f"top {embedding['top']}"),
            embedding["bytes_per_row"],
            embedding["exit"] or "last",
            named(embedding["encoder"], None, embedding["expert"]),
            " ".join(filter(None, (embedding["index"], embedding["metric"]))),
        )
        for embedding in ordered
    ]


def _index(table: Table, column: str) -> str:
    return " ".join(filter(None, (table.indexes.get(column), table.metrics.get(column))))


def _folded_name(shell: Shell, name: str) -> str:
    """A name as SQL reads it: in lower case unless it is quoted, or there under this very name."""
    if name.startswith('"') and name.endswith('"'):
        return name[1:-1]
    return name if name in lifecycle.names(shell.client) else name.lower()


def _timing(shell: Shell, argument: str) -> None:
    shell.timing = _parse_switch("\\timing", argument, shell.timing)
    click.echo(f"Timing is {'on' if shell.timing else 'off'}.", err=True)


def _expanded(shell: Shell, argument: str) -> None:
    on = _parse_switch("\\x", argument, shell.output_format == "expanded")
    shell.output_format = "expanded" if on else "table"
    click.echo(f"Expanded display is {'on' if on else 'off'}.", err=True)


def _parse_switch(name: str, argument: str, now: bool) -> bool:
    words = {"": not now, "on": True, "off": False}
    if argument.lower() not in words:
        raise SqlSyntaxError(f"{name} is on or off", value=argument, next_step=f"Write {name} on.")
    return words[argument.lower()]


def _quit(shell: Shell, argument: str) -> None:
    shell.done = True


def _help(shell: Shell, argument: str) -> None:
    for name, row in BACKSLASH_COMMANDS.items():
        click.echo(f"  {f'{name} {row.argument}'.ljust(18)}{row.description}")
    click.echo("  …;".ljust(20) + "Run a statement of SQL; it may take several lines.")


BACKSLASH_COMMANDS: Final = {
    "\\d": BackslashCommand(_describe, "Tables, or the columns of one.", "[TABLE]"),
    "\\dims": BackslashCommand(_dims, "Nested vectors: dims, bytes a row, exits, encoders.", "[TABLE]"),
    "\\timing": BackslashCommand(_timing, "Say how long reading and planning take.", "[on|off]"),
    "\\x": BackslashCommand(_expanded, "A line a column instead of a line a row.", "[on|off]"),
    "\\?": BackslashCommand(_help, "This list."),
    "\\q": BackslashCommand(_quit, "Leave; so does Ctrl-D."),
}
