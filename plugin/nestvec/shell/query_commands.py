"""Backslash commands that end a statement: ``\\g``, ``\\gx``, ``\\gset`` and ``\\gexec``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from nestvec.shell.format_commands import set_print_option
from nestvec.shell.session_commands import last_statement, send_output
from nestvec.shell.split import ARGUMENT_MARK
from nestvec.shell.state import ShellState
from nestvec.shell.variables import variable_text, words
from nestvec.sql.result import StatementResult
from nestvec_schemas.errors import SqlSyntaxError

_OPTIONS: Final = re.compile(r"\((?P<options>[^()]*)\)\s*(?P<file>.*)", re.S)


def run_again(shell: ShellState, argument: str) -> None:
    """``\\g [(NAME=VALUE …)] [FILE]``: run the statement before it, or the last one."""
    statement, rest = _parts(shell, argument, "\\g")
    with _printing(shell, rest):
        shell.run(statement)


def run_expanded(shell: ShellState, argument: str) -> None:
    """``\\gx``: as ``\\g``, with a line per column."""
    statement, rest = _parts(shell, argument, "\\gx")
    with _printing(shell, rest):
        if shell.output_format in ("json", "csv"):
            shell.output_format = "table"
        shell.expanded = "on"
        shell.run(statement)


def set_from_row(shell: ShellState, argument: str) -> None:
    """``\\gset [PREFIX]``: the values of one row become those of ``:COLUMN``. Raises SqlSyntaxError."""
    statement, prefix = _parts(shell, argument, "\\gset")
    result = _queried(shell, statement, "\\gset")
    if len(result.rows) != 1:
        cause = "more than one row" if result.rows else "no rows"
        raise SqlSyntaxError(
            f"\\gset: the query returned {cause}",
            value=f"{len(result.rows)} rows",
            next_step="Write LIMIT 1.",
        )
    values = {f"{prefix}{name}": value for name, value in result.records()[0].items()}
    # As psql does, NULL forgets the value.
    others = {name: value for name, value in shell.params.items() if name not in values}
    shell.params = others | {name: value for name, value in values.items() if value is not None}


def run_results(shell: ShellState, argument: str) -> None:
    """``\\gexec``: run every value of the result as a statement."""
    statement, _ = _parts(shell, argument, "\\gexec")
    for row in _queried(shell, statement, "\\gexec").rows:
        for value in row:
            if value is not None:
                shell.run(variable_text(value))


def _queried(shell: ShellState, statement: str, name: str) -> StatementResult:
    result = shell.query(statement)
    if not result.columns:
        raise SqlSyntaxError(f"{name} takes a query", value=statement[:60], next_step="Write SELECT …")
    return result


def _parts(shell: ShellState, argument: str, name: str) -> tuple[str, str]:
    """The statement, and what follows the command."""
    statement, _, rest = argument.partition(ARGUMENT_MARK)
    return statement.strip() or last_statement(shell, name), rest.strip()


@contextmanager
def _printing(shell: ShellState, rest: str) -> Iterator[None]:
    """Print one result with options of its own, and to a file of its own."""
    before = shell.output_format, shell.expanded, shell.output
    match = _OPTIONS.fullmatch(rest)
    shell.output = replace(shell.output)
    try:
        if match is not None:
            shell.output.quiet = True
            for option in words(match["options"], shell.params):
                set_print_option(shell, option.replace("=", " ", 1))
            shell.output.quiet = before[2].quiet
        file = match["file"] if match is not None else rest
        if file:
            send_output(shell, file)
        yield
    finally:
        shell.output_format, shell.expanded, shell.output = before
