"""Backslash commands: a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import click

from nestvec import collections
from nestvec.catalog import Table, read_table
from nestvec.cli.output import print_table
from nestvec.service.names import named
from nestvec.shell.shell import Shell
from nestvec.sql.bind.types import written
from nestvec_schemas.errors import SqlSyntaxError, nearest


@dataclass(frozen=True)
class Command:
    """``takes`` is what follows its name, in words; empty for nothing."""

    run: Callable[[Shell, str], None]
    description: str
    takes: str = ""


def run_command(shell: Shell, line: str) -> None:
    """Run one line. Raises SqlSyntaxError with the nearest name, and what Milvus raises."""
    name, _, rest = line.strip().rstrip(";").partition(" ")
    row = COMMANDS.get(name)
    argument = rest.strip()
    if row is None:
        raise SqlSyntaxError(
            "there is no such command", value=name, next_step=f"\\? lists them.{nearest(name, COMMANDS)}"
        )
    if argument and not row.takes:
        raise SqlSyntaxError(f"{name} takes nothing", value=argument, next_step=f"Write {name}.")
    row.run(shell, argument)


def _describe(shell: Shell, name: str) -> None:
    if name:
        _columns(shell, _spelt(shell, name))
        return
    tables = [read_table(shell.client, one) for one in collections.names(shell.client)]
    if not tables:
        click.echo("The database is empty: CREATE TABLE makes a collection.", err=True)
        return
    print_table(
        ("table", "columns", "vectors", "description"),
        [
            (
                one.name,
                len(one.columns),
                ", ".join(c.name for c in one.columns if c.is_vector),
                one.description,
            )
            for one in tables
        ],
    )


def _columns(shell: Shell, name: str) -> None:
    found, table = collections.describe(shell.client, name), read_table(shell.client, name)
    rows = _counted(found["rows"])
    about = f": {table.description}" if table.description else ""
    click.echo(f"{table.name}{about} ({rows})")
    made = {one.column: f"{one.maker} of {one.source}" for one in table.embeddings}
    lines = [
        (
            column.name,
            written(column),
            one["key"],
            "yes" if column.nullable else None,
            made.get(column.name) or table.generated.get(column.name),
            _index(table, column.name),
        )
        for one, column in zip(found["columns"], table.columns, strict=True)
    ]
    print_table(("column", "type", "key", "null", "made of", "index"), lines)


def _counted(rows: int | None) -> str:
    if rows is None:
        return "not loaded"
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _dims(shell: Shell, name: str) -> None:
    names = [_spelt(shell, name)] if name else collections.names(shell.client)
    rows = [row for one in names for row in _family(shell, one)]
    if not rows:
        click.echo("No column is embedded by a nestvec service.", err=True)
        return
    print_table(("table", "source", "column", "dim", "bytes a row", "exit", "encoder", "index"), rows)


def _family(shell: Shell, name: str) -> list[tuple[object, ...]]:
    """The vectors that are made of each text, shortest first."""
    found = collections.describe(shell.client, name)
    ordered = sorted(found["embeddings"], key=lambda one: (one["source"], one["encoder"], one["dim"]))
    return [
        (
            found["collection"],
            one["source"],
            one["column"],
            one["dim"] or (one["top"] and f"top {one['top']}"),
            one["bytes_per_row"],
            one["exit"] or "last",
            named(one["encoder"], None, one["expert"]),
            " ".join(filter(None, (one["index"], one["metric"]))),
        )
        for one in ordered
    ]


def _index(table: Table, column: str) -> str:
    return " ".join(filter(None, (table.indexes.get(column), table.metrics.get(column))))


def _spelt(shell: Shell, name: str) -> str:
    """A name as SQL reads it: in lower case unless it is quoted, or there under this very name."""
    if name.startswith('"') and name.endswith('"'):
        return name[1:-1]
    return name if name in collections.names(shell.client) else name.lower()


def _timing(shell: Shell, argument: str) -> None:
    shell.timing = _switched("\\timing", argument, shell.timing)
    click.echo(f"Timing is {'on' if shell.timing else 'off'}.", err=True)


def _expanded(shell: Shell, argument: str) -> None:
    on = _switched("\\x", argument, shell.form == "expanded")
    shell.form = "expanded" if on else "table"
    click.echo(f"Expanded display is {'on' if on else 'off'}.", err=True)


def _switched(name: str, argument: str, now: bool) -> bool:
    words = {"": not now, "on": True, "off": False}
    if argument.lower() not in words:
        raise SqlSyntaxError(f"{name} is on or off", value=argument, next_step=f"Write {name} on.")
    return words[argument.lower()]


def _quit(shell: Shell, argument: str) -> None:
    shell.done = True


def _help(shell: Shell, argument: str) -> None:
    for name, row in COMMANDS.items():
        click.echo(f"  {f'{name} {row.takes}'.ljust(18)}{row.description}")
    click.echo("  …;".ljust(20) + "Run a statement of SQL; it may take several lines.")


COMMANDS: Final = {
    "\\d": Command(_describe, "Tables, or the columns of one.", "[TABLE]"),
    "\\dims": Command(_dims, "Nested vectors: dims, bytes a row, exits, encoders.", "[TABLE]"),
    "\\timing": Command(_timing, "Say how long reading and planning take.", "[on|off]"),
    "\\x": Command(_expanded, "A line a column instead of a line a row.", "[on|off]"),
    "\\?": Command(_help, "This list."),
    "\\q": Command(_quit, "Leave; so does Ctrl-D."),
}
