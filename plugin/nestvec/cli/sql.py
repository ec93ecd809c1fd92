"""``nestvec sql``."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
from nestvec_schemas.errors import NestvecError

if TYPE_CHECKING:
    from nestvec.shell.print_result import OutputFormat
    from nestvec.shell.shell import Shell

_SCRIPT_FAILED: Final = 3
"""psql's exit code of a script that ended at an error because of ON_ERROR_STOP."""


@dataclass(frozen=True)
class LayoutArgs:
    """What psql's options say of results."""

    expanded: bool
    field_separator: str | None
    record_separator: str | None
    field_separator_zero: bool
    record_separator_zero: bool
    pset: tuple[str, ...]
    output: str | None
    quiet: bool


@dataclass(frozen=True)
class ResultArgs:
    """How results are printed."""

    json: bool
    csv: bool
    unaligned: bool
    tuples_only: bool
    timing: bool
    layout: LayoutArgs


@dataclass(frozen=True)
class SqlArgs:
    """The command's arguments."""

    statement: str | None
    command: tuple[str, ...]
    file: Path | None
    param: tuple[str, ...]
    keep_going: bool
    single_transaction: bool
    milvus: MilvusArgs
    models: Path
    output: ResultArgs


@click.command("sql", cls=args_command(SqlArgs), short_help=COMMANDS["sql"].short_help)
@click.argument("statement", required=False)
@option_group(
    "Statements",
    option(
        "--command",
        "-c",
        multiple=True,
        metavar="STATEMENT",
        help="Run this, as the argument STATEMENT (repeatable).",
    ),
    option(
        "--file",
        "-f",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Run the statements in this file.",
    ),
    option(
        "--param",
        "-v",
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
    option("--unaligned", "-A", is_flag=True, help="Print a bar between values, without a table."),
    option("--tuples-only", "-t", is_flag=True, help="Print rows without names of columns and counts."),
    option("--expanded", "-x", is_flag=True, help="Print a line per column."),
    option("--field-separator", "-F", metavar="TEXT", help="What is between values with --unaligned."),
    option("--record-separator", "-R", metavar="TEXT", help="What is between rows with --unaligned."),
    option("--field-separator-zero", "-z", is_flag=True, help="NUL between values."),
    option("--record-separator-zero", "-0", is_flag=True, help="NUL between rows."),
    option("--pset", "-P", multiple=True, metavar="NAME[=VALUE]", help="As the command \\pset (repeatable)."),
    option("--output", "-o", metavar="FILE", help="Write results to this file."),
    option("--quiet", "-q", is_flag=True, help="Print no counts and tags on standard error."),
    option("--timing", is_flag=True, help="Print on standard error how long each step took."),
    option("--no-psqlrc", "-X", "no_psqlrc", is_flag=True, hidden=True, help="For scripts of psql."),
    option("--single-transaction", "-1", "single_transaction", is_flag=True, hidden=True, help="An error."),
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
    from nestvec.shell.shell import Shell
    from nestvec.shell.split import script_pieces
    from nestvec.shell.variables import parse_params
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
        shell = Shell(client, session, form, args.output.timing, parameters, address=args.milvus.uri)
        _set_layout(shell, args.output)
        if script is None:
            from nestvec.shell.prompt import interact

            interact(shell)
        elif (first := _run(shell, args, script)) is not None:
            sys.exit(first.exit_code)


def _run(shell: Shell, args: SqlArgs, script: str) -> NestvecError | None:
    """Run the statements, and return the first error if they went on after it. Raises it otherwise."""
    from nestvec.shell.scripts import run_script, stops
    from nestvec.shell.session_commands import run_file

    try:
        if args.file is not None:
            return run_file(shell, args.file, keep_going=args.keep_going)
        return run_script(shell, script, name=_script_name(args), keep_going=args.keep_going)
    except NestvecError as error:
        if stops(shell) and not (args.command or args.statement not in (None, "-")):
            error.exit_code = _SCRIPT_FAILED
        raise


def _set_layout(shell: Shell, args: ResultArgs) -> None:
    """What the options say of results, as the commands of the prompt do."""
    from dataclasses import replace

    from nestvec.shell.format_commands import set_print_option
    from nestvec.shell.session_commands import send_output

    layout, changes = args.layout, dict[str, Any](tuples_only=args.tuples_only)
    separator = "\0" if layout.field_separator_zero else layout.field_separator
    records = "\0" if layout.record_separator_zero else layout.record_separator
    changes |= {} if separator is None else {"field_separator": separator}
    changes |= {} if records is None else {"record_separator": records}
    shell.output.options = replace(shell.output.options, **changes)
    shell.expanded = "on" if layout.expanded else shell.expanded
    shell.output.quiet = True
    for assignment in layout.pset:
        set_print_option(shell, assignment.replace("=", " ", 1))
    shell.output.quiet = layout.quiet
    if layout.output is not None:
        send_output(shell, layout.output)


def _script(args: SqlArgs) -> str | None:
    """The statements to run; None for a prompt."""
    if sum((args.statement is not None, args.file is not None, bool(args.command))) > 1:
        raise _usage("Give STATEMENT, --command or --file, not several of them.")
    if args.command:
        return "\n".join(_ended(text) for text in args.command)
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


def _ended(text: str) -> str:
    """A statement with the semicolon that the next one needs; a backslash command has a line."""
    return text if text.lstrip().startswith("\\") or text.rstrip().endswith(";") else f"{text}\n;"


def _script_name(args: SqlArgs) -> str:
    """What the lines of errors belong to; empty for statements of the command line."""
    if args.file is not None:
        return str(args.file)
    return "" if args.command or args.statement not in (None, "-") else "<stdin>"


def _usage(reason: str) -> click.UsageError:
    return click.UsageError(reason, click.get_current_context())


def _form(args: SqlArgs) -> OutputFormat:
    output = args.output
    if args.single_transaction:
        raise _usage("Milvus has no transactions: omit --single-transaction.")
    if output.json + output.csv + output.unaligned > 1:
        raise _usage("Give one of --json, --csv and --unaligned.")
    if output.json and output.tuples_only:
        raise _usage("--json has the names of columns in every row: omit --tuples-only.")
    return "json" if output.json else "csv" if output.csv else "unaligned" if output.unaligned else "table"
