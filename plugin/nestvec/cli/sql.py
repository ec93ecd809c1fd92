"""``nestvec sql``."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import (
    MilvusArgs,
    args_command,
    json_option,
    milvus_options,
    models_option,
    option,
    option_group,
)

if TYPE_CHECKING:
    from nestvec.shell.print_result import OutputFormat
    from nestvec.shell.shell import Shell


@dataclass(frozen=True)
class ResultArgs:
    """How results are printed."""

    json: bool
    csv: bool
    timing: bool


@dataclass(frozen=True)
class SqlArgs:
    """The command's arguments."""

    statement: str | None
    file: Path | None
    param: tuple[str, ...]
    keep_going: bool
    milvus: MilvusArgs
    models: Path
    output: ResultArgs


@click.command("sql", cls=args_command(SqlArgs), short_help=COMMANDS["sql"].short_help)
@click.argument("statement", required=False)
@option_group(
    "Statements",
    option(
        "--file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Run the statements in this file.",
    ),
    option(
        "--param",
        multiple=True,
        metavar="NAME=VALUE",
        help="Value of the parameter :NAME (repeatable). A value that is not text is JSON.",
    ),
    option(
        "--continue",
        "keep_going",
        is_flag=True,
        envvar="NESTVEC_SQL_CONTINUE",
        help="Continue after a statement that fails.",
    ),
)
@milvus_options
@models_option
@json_option
@option_group(
    "Output",
    option("--csv", is_flag=True, help="Print CSV instead of a table."),
    option("--timing", is_flag=True, help="Print on standard error how long each step took."),
)
def command(args: SqlArgs) -> None:
    """Run SQL. STATEMENT is one or more statements, separated by semicolons, or - to read standard input.

    Without STATEMENT, statements come from standard input; on a terminal, a prompt with history
    and completion opens, and \\? lists its commands.

    The grammar is PostgreSQL's with pgvector's operators: <=> (cosine distance), <-> (Euclidean distance) and
    <#> (negative inner product). The server embeds a text to the right of one. * selects every column,
    vectors included; tables show the start of a vector.

    \b
    Example:
      nestvec sql --uri demo.db "SELECT name FROM pydoc WHERE module = 'csv'
        ORDER BY doc_64 <=> 'read rows from a file' LIMIT 5"
    """
    from nestvec.ingest.write.patience import Patience, wait_for_milvus
    from nestvec.ingest.write.waiting_lines import WaitingLines
    from nestvec.shell.params import parse_params
    from nestvec.shell.shell import Shell
    from nestvec.shell.split import script_pieces
    from nestvec.sql import Session, SessionSettings

    parameters, form = parse_params(args.param), _form(args)
    script = _script(args)
    statements = script_pieces(script) if script is not None else ()
    if script is not None and not statements:
        raise _usage("There is no statement to run. Give STATEMENT, --file or standard input.")
    # Only CREATE may name a database that does not exist yet.
    create = script is None or any(statement[:6].upper() == "CREATE" for statement in statements)
    session = Session(SessionSettings(models=args.models), waiting=WaitingLines())
    # A load of many rows waits for a Milvus that is not there yet; another statement fails at once.
    loads = any(statement[:4].upper() == "COPY" for statement in statements)
    patience = session.patience() if loads else Patience(0)
    with closing(session), ExitStack() as stack:
        client = wait_for_milvus(patience, lambda: stack.enter_context(args.milvus.open(create=create)))
        shell = Shell(client, session, form, args.output.timing, parameters)
        if script is None:
            from nestvec.shell.prompt import interact

            interact(shell)
        else:
            _run(shell, statements, args.keep_going)


def _script(args: SqlArgs) -> str | None:
    """The statements to run; None for a prompt."""
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
    # Bytes that are not UTF-8 reach the parser as surrogates and are refused there.
    return data.decode("utf-8", "surrogateescape")


def _usage(reason: str) -> click.UsageError:
    return click.UsageError(reason, click.get_current_context())


def _form(args: SqlArgs) -> OutputFormat:
    if args.output.json and args.output.csv:
        raise _usage("Give --json or --csv, not both.")
    return "json" if args.output.json else "csv" if args.output.csv else "table"


def _run(shell: Shell, statements: tuple[str, ...], keep_going: bool) -> None:
    """Run a script. The exit code is that of the first statement that failed."""
    from nestvec_schemas.errors import NestvecError

    first: NestvecError | None = None
    for statement in statements:
        try:
            shell.run(statement)
        except NestvecError as error:
            if not keep_going:
                raise
            click.secho(f"nestvec: {error}", fg="red", err=True)
            first = first or error
        if shell.done:
            break
    if first is not None:
        sys.exit(first.exit_code)
