"""Backslash commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import click

from nestvec.collections import lifecycle
from nestvec.milvus.catalog import Table, read_table
from nestvec.shell.conditions import begin_branch, end_branch, last_branch, next_branch
from nestvec.shell.format_commands import (
    set_expanded,
    set_field_separator,
    set_print_option,
    set_title,
    set_tuples_only,
    toggle_alignment,
)
from nestvec.shell.query_commands import run_again, run_expanded, run_results, set_from_row
from nestvec.shell.session_commands import (
    connection_info,
    copy,
    edit,
    include,
    include_relative,
    send_output,
    set_value,
    unset_value,
    watch,
)
from nestvec.shell.state import ShellState
from nestvec.shell.text_commands import (
    echo,
    echo_to_results,
    list_functions,
    list_statements,
    print_error,
    print_statement,
    run_in_shell,
    warn,
)
from nestvec.shell.variables import parse_boolean
from nestvec.sql import execute
from nestvec.sql.bind.ddl.column_types import type_sql
from nestvec.terminal.tables import print_table
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlNotSupported, SqlSyntaxError, nearest
from nestvec_schemas.model_name import format_model_name


@dataclass(frozen=True)
class BackslashCommand:
    """One backslash command."""

    run: Callable[[ShellState, str], None]
    description: str
    argument: str = ""
    """What may follow the name, for the help; empty if nothing may."""
    is_verbatim: bool = False
    """Whether a semicolon at the end is a part of the argument."""


_BLANKS: Final = " \t\r\n"
_HELP_WIDTH: Final = 79
_MAX_NAME_WIDTH: Final = 26
"""Longer names of commands have a line of their own in the help."""


def run_backslash_command(shell: ShellState, line: str) -> None:
    """Run one line. Raises SqlSyntaxError for an unknown command, and the errors of Milvus."""
    name, _, rest = line.strip().partition(" ")
    if not rest:
        name = name.rstrip(";")
    # psql shows more of everything for \\d+ and the like.
    plain = name.rstrip("+S")
    row = BACKSLASH_COMMANDS.get(name) or BACKSLASH_COMMANDS.get(plain)
    # Not strip(), which takes ARGUMENT_MARK for a blank.
    argument = rest.strip(_BLANKS) if row and row.is_verbatim else rest.strip().rstrip(";").rstrip()
    if row is None and plain in UNSUPPORTED_COMMANDS:
        instead = UNSUPPORTED_COMMANDS[plain]
        raise SqlNotSupported("this command of psql is not supported", value=name, next_step=instead)
    if row is None:
        raise SqlSyntaxError(
            "unknown command",
            value=name,
            next_step=f"\\? lists the commands.{nearest(name, BACKSLASH_COMMANDS)}",
        )
    if argument and not (row.argument or row.is_verbatim):
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
    shell.timing = parse_boolean(argument, "\\timing") if argument else not shell.timing
    click.echo(f"Timing is {'on' if shell.timing else 'off'}.", err=True)


def _quit(shell: ShellState, argument: str) -> None:
    shell.done = True


def _help(shell: ShellState, argument: str) -> None:
    rows = [(f"{name} {row.argument}".strip(), row.description) for name, row in BACKSLASH_COMMANDS.items()]
    rows.append(("…;", "Run an SQL statement, which may take several lines."))
    formatter = click.HelpFormatter(max_width=_HELP_WIDTH)
    with formatter.indentation():
        formatter.write_dl(rows, col_max=_MAX_NAME_WIDTH)
    click.echo(formatter.getvalue(), nl=False)


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


def _list_views(shell: ShellState, pattern: str) -> None:
    names = [str(row[0]) for row in execute(shell.client, "SHOW VIEWS", session=shell.session).rows]
    print_table(("view",), [(name,) for name in names if fnmatchcase(name, pattern or "*")])


def _list_schemas(shell: ShellState, argument: str) -> None:
    print_table(("schema",), [("public",)])


_Row = BackslashCommand
BACKSLASH_COMMANDS: Final = {
    "\\d": _Row(_describe, "List the tables, or the columns of one.", "[TABLE]"),
    "\\dt": _Row(_list_tables, "List the tables, those that match a pattern.", "[PATTERN]"),
    "\\di": _Row(_list_indexes, "List the indexes, or those of a table.", "[TABLE]"),
    "\\dv": _Row(_list_views, "List the views, those that match a pattern.", "[PATTERN]"),
    "\\df": _Row(list_functions, "List the functions that expressions may call.", "[PATTERN]"),
    "\\dn": _Row(_list_schemas, "List the schemas: there is one."),
    "\\l": _Row(_list_databases, "List the databases."),
    "\\dims": _Row(_dims, "Nested vectors: dims, bytes per row, exits, encoders.", "[TABLE]"),
    "\\timing": _Row(_timing, "Print how long parsing and planning take.", "[on|off]"),
    "\\x": _Row(set_expanded, "Print a line per column: always, never, or for wide rows.", "[on|off|auto]"),
    "\\a": _Row(toggle_alignment, "Print values with a bar between them, or tables again."),
    "\\t": _Row(set_tuples_only, "Print rows without names of columns and counts.", "[on|off]"),
    "\\f": _Row(set_field_separator, "What is between values of unaligned rows.", "[TEXT]", True),
    "\\C": _Row(set_title, "Set the title of tables.", "[TEXT]", True),
    "\\pset": _Row(set_print_option, "Set how results are printed, or list it.", "[NAME [VALUE]]"),
    "\\g": _Row(run_again, "Run the statement before it, or the last one.", "[(OPTIONS)] [FILE]", True),
    "\\gx": _Row(run_expanded, "As \\g, with a line per column.", "[(OPTIONS)] [FILE]", True),
    "\\gset": _Row(set_from_row, "Make the values of a row those of :COLUMN.", "[PREFIX]", True),
    "\\gexec": _Row(run_results, "Run every value of the result as a statement.", is_verbatim=True),
    "\\watch": _Row(watch, "Run the last statement every 2 seconds.", "[SECONDS] [c=TIMES]"),
    "\\p": _Row(print_statement, "Print the last statement."),
    "\\e": _Row(edit, "Edit the last statement, or a file, and run it.", "[FILE]"),
    "\\i": _Row(include, "Run the statements of a file.", "FILE"),
    "\\ir": _Row(include_relative, "As \\i, from the folder of the script at hand.", "FILE"),
    "\\o": _Row(send_output, "Write results to a file; without one, to the terminal.", "[FILE]"),
    "\\copy": _Row(copy, "COPY, with a file name without quotes.", "TABLE FROM|TO FILE"),
    "\\echo": _Row(echo, "Print a text, and the values of :NAME.", "[-n] [TEXT]", True),
    "\\qecho": _Row(echo_to_results, "As \\echo, where results go.", "[-n] [TEXT]", True),
    "\\warn": _Row(warn, "As \\echo, to standard error.", "[-n] [TEXT]", True),
    "\\set": _Row(set_value, "Set the value of :NAME, or list the values.", "[NAME VALUE]"),
    "\\unset": _Row(unset_value, "Forget a value.", "NAME"),
    "\\if": _Row(begin_branch, "Run what follows only if this is true.", "BOOLEAN"),
    "\\elif": _Row(next_branch, "Otherwise, if this is true.", "BOOLEAN"),
    "\\else": _Row(last_branch, "Otherwise."),
    "\\endif": _Row(end_branch, "The end of \\if."),
    "\\errverbose": _Row(print_error, "Print the last error again, with its kind."),
    "\\conninfo": _Row(connection_info, "Show where Milvus is."),
    "\\!": _Row(run_in_shell, "Run a command of the operating system.", "[COMMAND]", True),
    "\\h": _Row(list_statements, "List the statements, those that begin with a word.", "[WORD]"),
    "\\?": _Row(_help, "Show this list; so does help."),
    "\\q": _Row(_quit, "Quit; so do quit, exit and Ctrl-D."),
}

WORDS: Final = {"quit": "\\q", "exit": "\\q", "help": "\\?"}
"""Statements that are commands, as in psql."""

_ALONE: Final = "A session of nestvec sql has one address: start another with --uri."
UNSUPPORTED_COMMANDS: Final = {
    **dict.fromkeys(("\\c", "\\connect"), _ALONE),
    **dict.fromkeys(("\\du", "\\dg", "\\dp", "\\z", "\\password"), "Users are managed in Milvus."),
    **dict.fromkeys(("\\ds", "\\dm", "\\dT", "\\do", "\\dx", "\\da", "\\db"), "There are none in Milvus."),
    "\\crosstabview": "Write sum(x) FILTER (WHERE …) for each column.",
    "\\gdesc": "DESCRIBE table has the types of its columns.",
    "\\encoding": "Everything is in UTF-8.",
    "\\H": "Write \\pset format csv or json.",
    "\\prompt": "Write \\set NAME VALUE.",
    "\\cd": "Write the folder before the name of the file.",
    **dict.fromkeys(("\\r", "\\reset"), "Ctrl-C discards what is written."),
    **dict.fromkeys(("\\w", "\\write", "\\s"), "The prompt keeps its history."),
    **dict.fromkeys(("\\sf", "\\sv", "\\ef", "\\ev"), "SHOW VIEWS lists the views."),
    **dict.fromkeys(("\\bind", "\\parse", "\\getenv", "\\setenv"), "Write \\set NAME VALUE, and :NAME."),
}
"""Commands of psql that there are not, each with what to do instead."""
