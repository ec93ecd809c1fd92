"""Backslash commands that print texts, statements, functions and errors; and ``\\!``."""

from __future__ import annotations

import os
import subprocess
from fnmatch import fnmatchcase

import click

from nestvec.shell.result_output import writing_to
from nestvec.shell.state import ShellState
from nestvec.shell.variables import words
from nestvec.sql.parse.parse import STATEMENTS
from nestvec.sql.relational.errors.functions import computed_functions


def echo(shell: ShellState, argument: str) -> None:
    """``\\echo [-n] TEXT …``: to standard output."""
    text, newline = _words(shell, argument)
    click.echo(text, nl=newline)


def echo_to_results(shell: ShellState, argument: str) -> None:
    """``\\qecho``: where results go."""
    text, newline = _words(shell, argument)
    with writing_to(shell.output):
        click.echo(text, nl=newline)


def warn(shell: ShellState, argument: str) -> None:
    """``\\warn``: to standard error."""
    text, newline = _words(shell, argument)
    click.echo(text, nl=newline, err=True)


def print_statement(shell: ShellState, argument: str) -> None:
    """``\\p``: the last statement."""
    click.echo(shell.script.last_statement or "There is no statement yet.")


def print_error(shell: ShellState, argument: str) -> None:
    """``\\errverbose``: the last error again, with its kind."""
    error = shell.script.last_error
    if error is None:
        click.echo("There is no previous error.", err=True)
        return
    click.echo(f"{type(error).__name__}: {error}", err=True)


def run_in_shell(shell: ShellState, argument: str) -> None:
    """``\\!``: a command of the operating system's shell, or that shell."""
    # The user of the prompt runs what the user writes, as psql does.
    subprocess.run(argument or os.environ.get("SHELL", "/bin/sh"), shell=True, check=False)  # noqa: S602


def list_statements(shell: ShellState, argument: str) -> None:
    """``\\h [WORD]``: the statements; what they mean is in the manual."""
    prefix = argument.upper().strip("*")
    names = sorted(name for name in STATEMENTS if name.startswith(prefix))
    click.echo("  ".join(names) or f"There is no statement {argument}.")
    click.echo("The SQL reference of the manual describes them.", err=True)


def list_functions(shell: ShellState, argument: str) -> None:
    """``\\df [PATTERN]``: the functions that expressions may call."""
    for name in computed_functions():
        if fnmatchcase(name, argument.lower() or "*"):
            click.echo(name)


def _words(shell: ShellState, argument: str) -> tuple[str, bool]:
    texts = words(argument, shell.params)
    silent = texts[:1] == ["-n"]
    return " ".join(texts[1:] if silent else texts), not silent
