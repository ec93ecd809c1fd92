"""Scripts: each piece is run, and one that fails is reported with its line."""

from __future__ import annotations

import click

from nestvec.shell.conditions import check_ended
from nestvec.shell.split import split_script
from nestvec.shell.state import ShellState
from nestvec.shell.variables import BOOLEANS
from nestvec_schemas.errors import NestvecError


def run_script(
    shell: ShellState, text: str, *, name: str = "", keep_going: bool = False
) -> NestvecError | None:
    """Run a script, and return the first error, if it is to continue after errors. Otherwise raises it.

    ``name`` is the file that a line is reported of, as psql does; empty for no lines.
    """
    parts = split_script(text)
    pieces = (*parts.pieces, parts.rest) if parts.rest else parts.pieces
    first: NestvecError | None = None
    depth = len(shell.script.branches)
    for piece, line in zip(pieces, parts.lines, strict=False):
        try:
            shell.run(piece)
        except NestvecError as error:
            where = f"{name}:{_failed_line(piece, line, error)}: " if name else ""
            shell.script.last_error = error
            if not (keep_going or continues(shell)):
                if where:
                    click.echo(where.rstrip(), err=True)
                raise
            click.secho(f"nestvec: {where}{error}", fg="red", err=True)
            first = first or error
        if shell.done:
            return first
    check_ended(shell, depth)
    return first


def continues(shell: ShellState) -> bool:
    """Whether ON_ERROR_STOP is off, so that a script continues after an error."""
    return _stop_variable(shell) is False


def stops(shell: ShellState) -> bool:
    """Whether ON_ERROR_STOP is on, so that a script that fails ends with psql's code."""
    return _stop_variable(shell) is True


def _stop_variable(shell: ShellState) -> bool | None:
    value = shell.params.get("ON_ERROR_STOP")
    return value if isinstance(value, bool) else BOOLEANS.get(str(value).lower())


def _failed_line(piece: str, line: int, error: NestvecError) -> int:
    """The line that the error points into, or the one that the statement begins in."""
    statement, position = getattr(error, "statement", ""), getattr(error, "position", None)
    if position is None or statement != piece:
        return line
    return line + piece.count("\n", 0, position)
