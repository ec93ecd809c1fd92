"""``nestvec sql``."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import args_command, json_option, models_option, store_options

if TYPE_CHECKING:
    from nestvec.shell.print_result import OutputFormat
    from nestvec.shell.shell import Shell


@dataclass(frozen=True)
class SqlArgs:
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


@click.command("sql", cls=args_command(SqlArgs), short_help=COMMANDS["sql"].short_help)
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
def command(args: SqlArgs) -> None:
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
    from nestvec.milvus.connection import open_milvus
    from nestvec.shell.params import parse_params
    from nestvec.shell.shell import Shell
    from nestvec.shell.split import script_pieces
    from nestvec.sql import Session, SessionSettings

    parameters, form = parse_params(args.param), _form(args)
    script = _script(args)
    statements = script_pieces(script) if script is not None else ()
    if script is not None and not statements:
        raise _usage("There is no statement to run.")
    # A database that is not there is a mistake, but for one who makes tables.
    create = script is None or any(statement[:6].upper() == "CREATE" for statement in statements)
    session = Session(SessionSettings(models=args.models))
    with (
        closing(session),
        open_milvus(args.uri, token=args.token, database=args.database, create=create) as client,
    ):
        shell = Shell(client, session, form, args.timing, parameters)
        if script is None:
            from nestvec.shell.prompt import interact

            interact(shell)
        else:
            _run(shell, statements, args.go_on)


def _script(args: SqlArgs) -> str | None:
    """What there is to run; None for a prompt."""
    if args.statement is not None and args.file is not None:
        raise _usage("Give STATEMENT or --file, not both.")
    if args.file is not None:
        data = args.file.read_bytes()
    elif args.statement not in (None, "-"):
        return args.statement
    elif args.statement is None and sys.stdin.isatty():
        return None
    else:
        data = sys.stdin.buffer.read()
    # What is no UTF-8 reaches the parser as such, and is refused there.
    return data.decode("utf-8", "surrogateescape")


def _usage(reason: str) -> click.UsageError:
    return click.UsageError(reason, click.get_current_context())


def _form(args: SqlArgs) -> OutputFormat:
    if args.as_json and args.as_csv:
        raise _usage("Give --json or --csv, not both.")
    return "json" if args.as_json else "csv" if args.as_csv else "table"


def _run(shell: Shell, statements: tuple[str, ...], go_on: bool) -> None:
    """Run a script. The exit code is that of the first statement that failed."""
    from nestvec_schemas.errors import NestvecError

    first: NestvecError | None = None
    for statement in statements:
        try:
            shell.run(statement)
        except NestvecError as error:
            if not go_on:
                raise
            click.secho(f"nestvec: {error}", fg="red", err=True)
            first = first or error
        if shell.done:
            break
    if first is not None:
        sys.exit(first.exit_code)
