"""The command line: one file per command, imported when the command runs."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import click

from nestvec.service.operation.hangup import hold_hangup
from nestvec_schemas.errors import NestvecError, nearest


@dataclass(frozen=True)
class CommandEntry:
    """A command."""

    module: str
    """The module of this package that declares it."""

    short_help: str
    """Its line in ``nestvec --help``."""


COMMANDS = {
    "adapt": CommandEntry(
        "adapt", "Train a checkpoint so that short vectors and early layers keep its quality."
    ),
    "bridge": CommandEntry("bridge", "Let a new encoder search the vectors that an old one made."),
    "bulk": CommandEntry("bulk", "Embed millions of rows on Ray, and import them into a collection."),
    "collection": CommandEntry(
        "collection", "Create, show, list, change or drop collections with nested vector fields."
    ),
    "demo": CommandEntry("demo", "Run everything once: export, serve, ingest, query."),
    "encoders": CommandEntry("encoders", "List the encoders in a model repository."),
    "evaluate": CommandEntry("evaluate", "Measure the quality of each vector length, exit and form."),
    "export": CommandEntry("export", "Export a checkpoint to a Triton model repository."),
    "ingest": CommandEntry("ingest", "Insert a JSONL, CSV or Parquet file into a collection."),
    "pg": CommandEntry("pg", "Serve SQL to PostgreSQL's clients: psql, JDBC, SQLAlchemy, Grafana."),
    "reload": CommandEntry("reload", "Have a running service read its keys and encoders again."),
    "serve": CommandEntry("serve", "Serve embeddings to Milvus and to TEI, OpenAI and Cohere clients."),
    "sql": CommandEntry("sql", "Run SQL; the server embeds the texts in it."),
}

_EPILOG = """\b
Options can be set by environment variables, which their help names.
NO_COLOR turns colours off.

\b
Shell completion, including encoder and collection names:
  bash  eval "$(_NESTVEC_COMPLETE=bash_source nestvec)"     in ~/.bashrc
  zsh   eval "$(_NESTVEC_COMPLETE=zsh_source nestvec)"      in ~/.zshrc
  fish  _NESTVEC_COMPLETE=fish_source nestvec | source      in config.fish
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they run, so that help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        command: click.Command = importlib.import_module(f"nestvec.cli.{row.module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.short_help) for name, row in sorted(COMMANDS.items())])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            ctx.fail(f"No such command '{args[0]}'.{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "NESTVEC"},
    epilog=_EPILOG,
)
@click.version_option(package_name="nestvec")
@click.option("-v", "--verbose", count=True, show_envvar=True, help="Log more: -v for INFO, -vv for DEBUG.")
@click.pass_context
def cli(ctx: click.Context, verbose: int) -> None:
    """Your own encoder inside Milvus: export it once, embed on the server, query in SQL.

    \b
    Example:
      nestvec demo
    """
    ctx.color = use_colour()
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def use_colour() -> bool | None:
    """False if NO_COLOR is set (https://no-color.org), else None: whether the stream is a terminal."""
    return False if os.environ.get("NO_COLOR") else None


def _logs_json() -> bool:
    """Whether a service was to be started whose log is read by a program."""
    return (
        "serve" in sys.argv[1:]
        and (
            _argument("--log-format")
            or os.environ.get("NESTVEC_SERVE_LOG_FORMAT")
            or _configured_log_format()
        )
        == "json"
    )


def _argument(name: str) -> str:
    """The value of an option in the command line; empty if it has none."""
    arguments = sys.argv[1:]
    separate = (value for option, value in pairwise(arguments) if option == name)
    joined = (word.partition("=")[2] for word in arguments if word.startswith(f"{name}="))
    return next(chain(separate, joined), "")


def _configured_log_format() -> str:
    """What the file of --config says, which may have an error elsewhere; empty if it says nothing."""
    path = _argument("--config") or os.environ.get("NESTVEC_SERVE_CONFIG")
    try:
        with Path(path or os.devnull).open("rb") as file:
            match = re.search(rb"(?m)^[^#\n]*\blog-format[\"']?\s*:\s*[\"']?(\w+)", file.read(1 << 20))
    except OSError:
        return ""
    return match[1].decode() if match else ""


def _print_error(message: str, text: Callable[[], None]) -> None:
    """Print an error by ``text``, or log it where every line is to be JSON."""
    if not _logs_json():
        text()
        return
    from nestvec.service.observability.logs import set_log_format

    logging.basicConfig(stream=sys.stderr)
    set_log_format("json")
    logging.getLogger("nestvec").critical("%s", message)


def main() -> None:
    """The entry point. Exit codes: 0, 1 for a failure, 2 for wrong usage, 130 for an interrupt."""
    # The options before a command have no values.
    if next((word for word in sys.argv[1:] if not word.startswith("-")), "") == "serve":
        hold_hangup()
    # gRPC writes of failed TLS handshakes to standard error, beside the error that says what is wrong.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        sys.exit(cli(standalone_mode=False))
    except click.ClickException as error:
        _print_error(error.format_message(), error.show)
        sys.exit(error.exit_code)
    except NestvecError as error:
        line = f"nestvec: {error}"
        _print_error(str(error), lambda: click.secho(line, fg="red", err=True, color=use_colour()))
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _print_error("interrupted", lambda: click.echo("nestvec: interrupted", err=True))
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
