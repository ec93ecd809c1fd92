"""Where results go: standard output, a pager on a terminal, or the file of ``\\o``."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import click

from nestvec.shell.state import ResultOutput
from nestvec_schemas.errors import FileUnreadable

_PROMPT_LINES = 2
"""Lines of the terminal that the prompt and the count of rows take."""


class _TerminalText(io.StringIO):
    """What is printed for a terminal, before it is known whether it fits."""

    def isatty(self) -> bool:
        return True


@contextmanager
def writing_to(output: ResultOutput) -> Iterator[None]:
    """Send what is printed where the results go. Raises FileUnreadable."""
    if output.path is not None:
        try:
            with output.path.open("a", encoding="utf-8") as file, redirect_stdout(file):
                yield
        except OSError as error:
            raise FileUnreadable(
                "the file of \\o cannot be written",
                value=str(output.path),
                next_step=f"{error.strerror or error}: choose another, or write \\o alone.",
            ) from error
        return
    if not output.pager or not sys.stdout.isatty():
        yield
        return
    text = _TerminalText()
    with redirect_stdout(text):
        yield
    if text.getvalue().count("\n") > shutil.get_terminal_size().lines - _PROMPT_LINES:
        click.echo_via_pager(text.getvalue(), color=True)
    else:
        click.echo(text.getvalue(), nl=False)
