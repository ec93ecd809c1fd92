"""The prompt: reads lines up to a semicolon, with history and completion."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import Output
from pygments.lexers.sql import PostgresLexer  # type: ignore[import-untyped]

from nestvec.shell.commands import WORDS
from nestvec.shell.complete import NameCatalog, SqlCompleter
from nestvec.shell.shell import Shell
from nestvec.shell.split import is_complete, script_pieces
from nestvec_schemas.errors import NestvecError

_PROMPT = "nestvec> "
_LEAVE: Final[dict[str, type[BaseException]]] = {
    **dict.fromkeys(("\\r", "\\reset"), KeyboardInterrupt),
    "\\q": EOFError,
}
_WELCOME = "End a statement with a semicolon. \\? lists the commands; Ctrl-D quits."


def interact(shell: Shell, terminal: tuple[Input, Output] | None = None) -> None:
    """Read and run statements until the end. ``terminal`` is None for that of the process.

    Ctrl-C discards the line or cancels the statement; after an error the session continues.
    """
    names = NameCatalog(shell.client)
    shell.output.pager = True
    session: PromptSession[str] = PromptSession(
        history=history(),
        completer=SqlCompleter(names),
        complete_in_thread=True,
        complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(),
        lexer=PygmentsLexer(PostgresLexer),
        multiline=True,
        key_bindings=_bindings(),
        prompt_continuation=_continued,
        input=terminal[0] if terminal else None,
        output=terminal[1] if terminal else None,
    )
    click.echo(_WELCOME, err=True)
    while not shell.done:
        try:
            text = session.prompt(_PROMPT)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        _run(shell, text)
        names.forget()


def _run(shell: Shell, text: str) -> None:
    for piece in script_pieces(text):
        try:
            shell.run(piece)
        except NestvecError as error:
            shell.script.last_error = error
            click.secho(str(error), fg="red", err=True)
            return
        except KeyboardInterrupt:
            click.echo("Cancelled.", err=True)
            return
        if shell.done:
            return


def _continued(width: int, line: int, wrapped: int) -> StyleAndTextTuples:
    return [("", "".rjust(width) if wrapped else "… ".rjust(width))]


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        """Run a complete statement; otherwise start another line."""
        buffer = event.current_buffer
        ends = _leaving(buffer.text)
        if ends is not None:
            event.app.exit(exception=ends)
        elif is_complete(buffer.text) or buffer.text.strip().lower() in WORDS:
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return bindings


def _leaving(text: str) -> type[BaseException] | None:
    """What a command on a line within a statement raises: ``\\r`` as Ctrl-C, ``\\q`` as Ctrl-D."""
    statement, _, line = text.rpartition("\n")
    kind = _LEAVE.get(line.strip())
    return kind if statement and is_complete(f"{statement}\n;") else None


def history() -> History:
    """The history, in ``$XDG_STATE_HOME/nestvec/history``, readable only by its owner."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "nestvec" / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
