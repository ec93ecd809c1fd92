"""``nestvec sql``."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import gathered, json_option, models_option, store_options

if TYPE_CHECKING:
    from nestvec.shell.shell import Shell
    from nestvec.shell.show import Form


@dataclass(frozen=True)
class Asked:
    """The options of one call."""

    statement: str | None
    file: Path | None
    uri: str
    token: str
    database: str
    models: Path
    as_json: bool
    as_csv: bool
    param: tuple[str, ...]
    timing: bool
    go_on: bool


@click.command("sql", cls=gathered(Asked), short_help=COMMANDS["sql"].short_help)
@click.argument("statement", required=False)
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Run the statements of this file.",
)
@store_options
@models_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@click.option(
    "--param",
    multiple=True,
    metavar="NAME=VALUE",
    help="The value of :NAME; JSON for anything but a text. Give it once a name.",
)
@click.option("--timing", is_flag=True, help="Say on standard error how long each step took.")
@click.option("--continue", "go_on", is_flag=True, help="Go on after a statement that fails.")
def command(asked: Asked) -> None:
    """Run SQL; STATEMENT is one or several with semicolons between, or - to read standard input.

    Without STATEMENT, statements are read from standard input; a terminal gets a prompt with history and
    completion. \\? there lists its commands.

    PostgreSQL's grammar with pgvector's operators: <=> (cosine distance), <-> (Euclidean distance),
    <#> (negative inner product). A text on the right of one is embedded by the server. * is every column,
    vectors too; tables show the start of a vector.

    \b
    Example:
      nestvec sql --uri demo.db "SELECT name, 1 - (doc_64 <=> 'read rows from a file') AS score
        FROM pydoc WHERE module = 'csv' ORDER BY score DESC LIMIT 5"
    """
    from nestvec.milvus import connect
    from nestvec.shell.shell import Shell
    from nestvec.shell.split import pieces
    from nestvec.shell.values import values
    from nestvec.sql import Session, Settings

    given, form = values(asked.param), _form(asked)
    script = _script(asked)
    statements = pieces(script) if script is not None else ()
    if script is not None and not statements:
        raise _usage("There is no statement to run.")
    # A database that is not there is a mistake, but for one who makes tables.
    create = script is None or any(one[:6].upper() == "CREATE" for one in statements)
    session = Session(Settings(models=asked.models))
    with (
        closing(session),
        connect(asked.uri, token=asked.token, database=asked.database, create=create) as client,
    ):
        shell = Shell(client, session, form, asked.timing, given)
        if script is None:
            from nestvec.shell.prompt import interact

            interact(shell)
        else:
            _run(shell, statements, asked.go_on)


def _script(asked: Asked) -> str | None:
    """What there is to run; None for a prompt."""
    if asked.statement is not None and asked.file is not None:
        raise _usage("Give STATEMENT or --file, not both.")
    if asked.file is not None:
        found = asked.file.read_bytes()
    elif asked.statement not in (None, "-"):
        return asked.statement
    elif asked.statement is None and sys.stdin.isatty():
        return None
    else:
        found = sys.stdin.buffer.read()
    # What is no UTF-8 reaches the parser as such, and is refused there.
    return found.decode("utf-8", "surrogateescape")


def _usage(reason: str) -> click.UsageError:
    return click.UsageError(reason, click.get_current_context())


def _form(asked: Asked) -> Form:
    if asked.as_json and asked.as_csv:
        raise _usage("Give --json or --csv, not both.")
    return "json" if asked.as_json else "csv" if asked.as_csv else "table"


def _run(shell: Shell, statements: tuple[str, ...], go_on: bool) -> None:
    """Run a script. The exit code is that of the first statement that failed."""
    from nestvec_schemas.errors import NestvecError

    first: NestvecError | None = None
    for one in statements:
        try:
            shell.run(one)
        except NestvecError as error:
            if not go_on:
                raise
            click.secho(f"nestvec: {error}", fg="red", err=True)
            first = first or error
        if shell.done:
            break
    if first is not None:
        sys.exit(first.exit_code)
