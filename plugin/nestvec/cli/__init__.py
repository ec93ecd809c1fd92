"""The command line: one file per command, imported when the command runs."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from dataclasses import dataclass
from itertools import pairwise

import click

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
    "bridge": CommandEntry(
        "bridge", "Let a new encoder search, and write, the vectors of an old one."
    ),
    "collection": CommandEntry(
        "collection", "Create, show, list or drop collections with nested vector fields."
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
    arguments = sys.argv[1:]
    pairs = pairwise(arguments)
    return "serve" in arguments and (
        os.environ.get("NESTVEC_SERVE_LOG_FORMAT") == "json"
        or "--log-format=json" in arguments
        or ("--log-format", "json") in pairs
    )


def _log_usage_error(message: str) -> None:
    from nestvec.service.observability.logs import set_log_format

    logging.basicConfig(stream=sys.stderr)
    set_log_format("json")
    logging.getLogger("nestvec").critical("%s", message)


def main() -> None:
    """The entry point. Exit codes: 0, 1 for a failure, 2 for wrong usage, 130 for an interrupt."""
    # gRPC writes of failed TLS handshakes to standard error, beside the error that says what is wrong.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        sys.exit(cli(standalone_mode=False))
    except click.ClickException as error:
        if _logs_json():
            _log_usage_error(error.format_message())
        else:
            error.show()
        sys.exit(error.exit_code)
    except NestvecError as error:
        click.secho(f"nestvec: {error}", fg="red", err=True, color=use_colour())
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("nestvec: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
