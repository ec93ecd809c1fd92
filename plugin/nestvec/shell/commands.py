"""Backslash commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import click

from nestvec.collections import lifecycle
from nestvec.milvus.catalog import Table, read_table
from nestvec.shell.session_commands import (
    connection_info,
    copy,
    edit,
    include,
    run_again,
    run_expanded,
    send_output,
    set_value,
    unset_value,
    watch,
)
from nestvec.shell.state import ShellState
from nestvec.sql.bind.ddl.column_types import type_sql
from nestvec.terminal.tables import Expanded, print_table
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlSyntaxError, nearest
from nestvec_schemas.model_name import format_model_name


@dataclass(frozen=True)
class BackslashCommand:
    """One backslash command."""

    run: Callable[[ShellState, str], None]
    description: str
    argument: str = ""
    """What may follow the name, for the help; empty if nothing may."""


_STATEMENT_COMMANDS: Final = ("\\g", "\\gx")
"""Commands whose argument is the statement before them."""


def run_backslash_command(shell: ShellState, line: str) -> None:
    """Run one line. Raises SqlSyntaxError for an unknown command, and the errors of Milvus."""
    name, _, rest = line.strip().partition(" ")
    if not rest:
        name = name.rstrip(";")
    row = BACKSLASH_COMMANDS.get(name)
    argument = rest.strip() if name in _STATEMENT_COMMANDS else rest.strip().rstrip(";").rstrip()
    if row is None:
        raise SqlSyntaxError(
            "unknown command",
            value=name,
            next_step=f"\\? lists the commands.{nearest(name, BACKSLASH_COMMANDS)}",
        )
    if argument and not row.argument and name not in _STATEMENT_COMMANDS:
        raise SqlSyntaxError(f"{name} takes no argument", value=argument, next_step=f"Write {name} alone.")
    row.run(shell, argument)


def _describe(shell: ShellState, name: str) -> None:
    if name:
        _columns(shell, _folded_name(shell, name))
        return
    tables = [read_table(shell.client, table) for table in lifecycle.collection_names(shell.client)]
    if not tables:
        click.echo("The database is empty. CREATE TABLE creates a collection.", err=True)
        return
    print_table(
        ("table", "columns", "vectors", "description"),
        [
            (
                table.name,
                len(table.columns),
                ", ".join(column.name for column in table.columns if column.is_vector),
                table.description,
            )
            for table in tables
        ],
    )


def _columns(shell: ShellState, name: str) -> None:
    description, table = lifecycle.describe_collection(shell.client, name), read_table(shell.client, name)
    rows = _row_count(description["rows"])
    suffix = f": {table.description}" if table.description else ""
    click.echo(f"{table.name}{suffix} ({rows})")
    sources = {
        embedding.column: f"{embedding.encoder_name} of {embedding.source}" for embedding in table.embeddings
    }
    lines = [
        (
            column.name,
            type_sql(column),
            described["key"],
            "yes" if column.nullable else None,
            sources.get(column.name) or table.generated.get(column.name),
            _index(table, column.name),
        )
        for described, column in zip(description["columns"], table.columns, strict=True)
    ]
    print_table(("column", "type", "key", "null", "generated from", "index"), lines)


def _row_count(rows: int | None) -> str:
    if rows is None:
        return "not loaded"
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _dims(shell: ShellState, name: str) -> None:
    names = [_folded_name(shell, name)] if name else lifecycle.collection_names(shell.client)
    rows = [row for table_name in names for row in _family_rows(shell, table_name)]
    if not rows:
        click.echo("No column is embedded by a nestvec service.", err=True)
        return
    print_table(("table", "source", "column", "dim", "bytes per row", "exit", "encoder", "index"), rows)


def _encoder_config(embedding: Mapping[str, Any]) -> EmbeddingConfig:
    """What an embedding's encoder is called by: its name, expert and prompts."""
    names = ("encoder", "expert", "prompt", "query_prompt")
    return EmbeddingConfig(**{name: embedding[name] for name in names})


def _family_rows(shell: ShellState, name: str) -> list[tuple[object, ...]]:
    """The vectors of each text column, shortest first."""
    description = lifecycle.describe_collection(shell.client, name)
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
            format_model_name(_encoder_config(embedding)),
            " ".join(filter(None, (embedding["index"], embedding["metric"]))),
        )
        for embedding in ordered
    ]


def _index(table: Table, column: str) -> str:
    return " ".join(filter(None, (table.indexes.get(column), table.metrics.get(column))))


def _folded_name(shell: ShellState, name: str) -> str:
    """A name as SQL reads it: lower case unless it is quoted or a collection has this very name."""
    if name.startswith('"') and name.endswith('"'):
        return name[1:-1]
    return name if name in lifecycle.collection_names(shell.client) else name.lower()


def _timing(shell: ShellState, argument: str) -> None:
    shell.timing = _parse_switch("\\timing", argument, shell.timing)
    click.echo(f"Timing is {'on' if shell.timing else 'off'}.", err=True)


def _expanded(shell: ShellState, argument: str) -> None:
    states: dict[str, Expanded] = {
        "": "off" if shell.expanded == "on" else "on",
        "on": "on",
        "off": "off",
        "auto": "auto",
    }
    if argument.lower() not in states:
        raise SqlSyntaxError("\\x takes on, off or auto", value=argument, next_step="Write \\x auto.")
    shell.output_format, shell.expanded = "table", states[argument.lower()]
    click.echo(f"Expanded display is {_EXPANDED_STATES[shell.expanded]}.", err=True)


_EXPANDED_STATES: Final = {"on": "on", "off": "off", "auto": "used automatically"}


def _parse_switch(name: str, argument: str, now: bool) -> bool:
    words = {"": not now, "on": True, "off": False}
    if argument.lower() not in words:
        raise SqlSyntaxError(f"{name} takes on or off", value=argument, next_step=f"Write {name} on.")
    return words[argument.lower()]


def _quit(shell: ShellState, argument: str) -> None:
    shell.done = True


def _help(shell: ShellState, argument: str) -> None:
    for name, row in BACKSLASH_COMMANDS.items():
        click.echo(f"  {f'{name} {row.argument}'.ljust(22)}{row.description}")
    click.echo("  …;".ljust(24) + "Run an SQL statement, which may take several lines.")


def _list_tables(shell: ShellState, pattern: str) -> None:
    names = lifecycle.collection_names(shell.client)
    print_table(("table",), [(name,) for name in names if fnmatchcase(name, pattern or "*")])


def _list_databases(shell: ShellState, argument: str) -> None:
    print_table(("database",), [(name,) for name in shell.client.list_databases()])


def _list_indexes(shell: ShellState, name: str) -> None:
    names = [_folded_name(shell, name)] if name else lifecycle.collection_names(shell.client)
    tables = [read_table(shell.client, table_name) for table_name in names]
    print_table(
        ("index", "table", "column", "type", "metric"),
        [
            (table.index_names.get(column), table.name, column, kind, table.metrics.get(column))
            for table in tables
            for column, kind in table.indexes.items()
        ],
    )


BACKSLASH_COMMANDS: Final = {
    "\\d": BackslashCommand(_describe, "List the tables, or the columns of one.", "[TABLE]"),
    "\\dt": BackslashCommand(_list_tables, "List the tables, those that match a pattern.", "[PATTERN]"),
    "\\di": BackslashCommand(_list_indexes, "List the indexes, or those of a table.", "[TABLE]"),
    "\\l": BackslashCommand(_list_databases, "List the databases."),
    "\\dims": BackslashCommand(_dims, "Nested vectors: dims, bytes per row, exits, encoders.", "[TABLE]"),
    "\\timing": BackslashCommand(_timing, "Print how long parsing and planning take.", "[on|off]"),
    "\\x": BackslashCommand(
        _expanded, "Print a line per column: always, never, or for wide rows.", "[on|off|auto]"
    ),
    "\\g": BackslashCommand(run_again, "In place of a semicolon; alone, run the last statement."),
    "\\gx": BackslashCommand(run_expanded, "As \\g, with a line per column."),
    "\\watch": BackslashCommand(watch, "Run the last statement every 2 seconds.", "[SECONDS] [c=TIMES]"),
    "\\e": BackslashCommand(edit, "Edit the last statement, or a file, and run it.", "[FILE]"),
    "\\i": BackslashCommand(include, "Run the statements of a file.", "FILE"),
    "\\o": BackslashCommand(send_output, "Write results to a file; without one, to the terminal.", "[FILE]"),
    "\\copy": BackslashCommand(copy, "COPY, with a file name without quotes.", "TABLE FROM|TO FILE"),
    "\\set": BackslashCommand(set_value, "Set the value of :NAME, or list the values.", "[NAME VALUE]"),
    "\\unset": BackslashCommand(unset_value, "Forget a value.", "NAME"),
    "\\conninfo": BackslashCommand(connection_info, "Show where Milvus is."),
    "\\?": BackslashCommand(_help, "Show this list; so does help."),
    "\\q": BackslashCommand(_quit, "Quit; so do quit, exit and Ctrl-D."),
}

WORDS: Final = {"quit": "\\q", "exit": "\\q", "help": "\\?"}
"""Statements that are commands, as in psql."""
