"""Backslash commands about the session, as psql has them: scripts, files, repetition, values."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from nestvec.shell.scripts import run_script
from nestvec.shell.state import ResultOutput, ShellState
from nestvec.shell.variables import parse_params, variable_text
from nestvec_schemas.errors import FileUnreadable, NestvecError, SqlNotSupported, SqlSyntaxError

_COPY: Final = re.compile(
    r"(?P<what>\(.*\)|[^\s(]+(?:\s*\([^()]*\))?)\s+(?P<way>from|to)\s+(?P<file>'(?:[^']|'')*'|\S+)(?P<options>.*)",
    re.I | re.S,
)
_WATCH: Final = re.compile(r"(?:i=)?(?P<seconds>\d+(?:\.\d+)?)?\s*(?:c=(?P<count>\d+))?")
_WATCH_SECONDS: Final = 2.0
_MAX_DEPTH: Final = 16
"""Scripts that may include one another."""

_scripts: ContextVar[tuple[Path, ...]] = ContextVar("scripts", default=())
"""Scripts that are being run, each by the one before it."""


def include(shell: ShellState, argument: str) -> None:
    """``\\i FILE``. Raises FileUnreadable, and the errors of its statements."""
    run_file(shell, Path(_text(argument, "\\i", "a file")))


def include_relative(shell: ShellState, argument: str) -> None:
    """``\\ir FILE``: a relative name is of the folder of the script that names it."""
    path = Path(_text(argument, "\\ir", "a file"))
    run_file(shell, _scripts.get()[-1].parent / path if _scripts.get() else path)


def run_file(shell: ShellState, path: Path, keep_going: bool = False) -> NestvecError | None:
    """Run a script, as ``run_script`` does. Raises FileUnreadable, and the errors of its statements."""
    running = _scripts.get()
    if len(running) >= _MAX_DEPTH:
        raise SqlSyntaxError("scripts include one another", value=str(path), next_step="Remove an \\i.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileUnreadable(
            "the script cannot be read",
            value=str(path),
            next_step=f"{error.strerror or error}: name another.",
        ) from error
    token = _scripts.set((*running, path))
    try:
        # Bytes that are not UTF-8 reach the parser as surrogates and are refused there.
        text = data.decode("utf-8", "surrogateescape")
        return run_script(shell, text, name=str(path), keep_going=keep_going)
    finally:
        _scripts.reset(token)


def send_output(shell: ShellState, argument: str) -> None:
    """``\\o [FILE]``: begin a file of results, or return to standard output."""
    if argument.startswith("|"):
        raise SqlNotSupported(
            "results are not sent to a command", value=argument, next_step="Name a file, or pipe nestvec sql."
        )
    path = Path(_text(argument, "\\o", "a file")) if argument else None
    if path is not None:
        try:
            path.write_bytes(b"")
        except OSError as error:
            raise FileUnreadable(
                "the file cannot be written",
                value=str(path),
                next_step=f"{error.strerror or error}: choose another.",
            ) from error
    shell.output = replace(shell.output, path=path)


def copy(shell: ShellState, argument: str) -> None:
    """``\\copy``: COPY, whose file is of this machine anyway; its name needs no quotes."""
    match = _COPY.fullmatch(argument)
    if match is None:
        raise SqlSyntaxError(
            "\\copy takes a table or query and a file", value=argument, next_step="Write \\copy t TO t.csv."
        )
    name = match["file"]
    if name.lower() in ("stdout", "pstdout") and match["way"].lower() == "to":
        what = match["what"].strip()
        with _format(shell, replace(shell.output, options=replace(shell.output.options, tuples_only=False))):
            shell.output_format = "csv"
            shell.run(what[1:-1] if what.startswith("(") else f"TABLE {what}")
        return
    if name.lower() in ("stdin", "pstdin", "stdout"):
        raise SqlSyntaxError("\\copy reads a file", value=name, next_step="Write \\copy t FROM t.csv.")
    quoted = name if name.startswith("'") else "'" + name.replace("'", "''") + "'"
    shell.run(f"COPY {match['what']} {match['way'].upper()} {quoted}{match['options']}")


def watch(shell: ShellState, argument: str) -> None:
    """``\\watch [SECONDS] [c=TIMES]``: run the last statement again and again; Ctrl-C ends it."""
    statement, match = last_statement(shell, "\\watch"), _WATCH.fullmatch(argument)
    if match is None:
        raise SqlSyntaxError(
            "\\watch takes seconds and a count", value=argument, next_step="Write \\watch 5 or \\watch 5 c=3."
        )
    seconds = float(match["seconds"]) if match["seconds"] else _WATCH_SECONDS
    count = int(match["count"]) if match["count"] else None
    times = 0
    while count is None or times < count:
        if times:
            time.sleep(seconds)
        shell.run(statement)
        times += 1


def edit(shell: ShellState, argument: str) -> None:
    """``\\e [FILE]``: edit the last statement, or a file, in ``$EDITOR``, and run what was saved."""
    path = _text(argument, "\\e", "a file") if argument else None
    if path is not None:
        click.edit(filename=path)
        include(shell, path)
        return
    edited = click.edit(shell.script.last_statement, extension=".sql")
    if edited is None or not edited.strip():
        click.echo("Nothing was saved.", err=True)
        return
    run_script(shell, edited)


def set_value(shell: ShellState, argument: str) -> None:
    """``\\set [NAME VALUE]``: the value of ``:NAME`` in the next statements, or all values."""
    name, _, text = argument.partition(" ")
    if not name:
        for key, value in shell.params.items():
            click.echo(f"{key} = '{variable_text(value)}'")
        return
    text = text.strip()
    is_text = len(text) > 1 and text[0] == text[-1] == "'"
    value = text[1:-1].replace("''", "'") if is_text else None
    shell.params = {**shell.params, **({name: value} if is_text else parse_params([f"{name}={text}"]))}


def unset_value(shell: ShellState, argument: str) -> None:
    """``\\unset NAME``."""
    shell.params = {name: value for name, value in shell.params.items() if name != argument}


def connection_info(shell: ShellState, argument: str) -> None:
    """``\\conninfo``: where Milvus is, without its credentials."""
    parts = urlsplit(shell.address)
    public = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    where = (public if parts.netloc else shell.address) or "its default address"
    click.echo(f"Connected to Milvus {shell.client.get_server_version()} at {where}.")


@contextmanager
def _format(shell: ShellState, output: ResultOutput) -> Iterator[None]:
    """Print one result in another way."""
    before = shell.output_format, shell.expanded, shell.output
    shell.output = output
    try:
        yield
    finally:
        shell.output_format, shell.expanded, shell.output = before


def last_statement(shell: ShellState, name: str) -> str:
    """The statement that was run last. Raises SqlSyntaxError if there is none."""
    if not shell.script.last_statement:
        raise SqlSyntaxError(
            f"{name} runs the last statement, and there is none", value=name, next_step="Write one before it."
        )
    return shell.script.last_statement


def _text(argument: str, name: str, what: str) -> str:
    """An argument, without the quotes around it. Raises SqlSyntaxError if there is none."""
    text = argument[1:-1].replace("''", "'") if argument[:1] == "'" == argument[-1:] else argument
    if not text:
        raise SqlSyntaxError(f"{name} takes {what}", value=name, next_step=f"Write {name} name.")
    return text
