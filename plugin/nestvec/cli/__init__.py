"""The command line: one file a command, loaded when it is called."""

from __future__ import annotations

import importlib
import logging
import sys
from dataclasses import dataclass

import click

from nestvec_schemas.errors import NestvecError, nearest


@dataclass(frozen=True)
class CommandEntry:
    """A command: the module in this package that holds it, and its line in ``nestvec --help``."""

    module: str
    short_help: str


COMMANDS = {
    "adapt": CommandEntry(
        "adapt", "Train a checkpoint so that short vectors and early layers keep its quality."
    ),
    "collection": CommandEntry("collection", "Create, show or drop a collection with nested vector fields."),
    "demo": CommandEntry("demo", "Run the whole way once: export, serve, ingest, answer."),
    "encoders": CommandEntry("encoders", "List the encoders in a model repository."),
    "evaluate": CommandEntry("evaluate", "Measure what each length, exit and form of the vectors keeps."),
    "export": CommandEntry("export", "Export a checkpoint to a Triton model repository."),
    "ingest": CommandEntry("ingest", "Insert a JSONL, CSV or Parquet file into a collection."),
    "serve": CommandEntry("serve", "Serve embeddings to Milvus and to TEI and OpenAI clients."),
    "sql": CommandEntry("sql", "Run a SQL query; texts in it are embedded by the server."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that help is quick."""

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


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nestvec")
@click.option("-v", "--verbose", count=True, help="Log more: -v for information, -vv for everything.")
def cli(verbose: int) -> None:
    """Your own encoder inside Milvus: export it once, embed server-side, ask in SQL."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def main() -> None:
    """The entry point. Exit codes: 0, 1 for what went wrong, 2 for usage, 130 for an interrupt."""
    try:
        sys.exit(cli(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except NestvecError as error:
        click.secho(f"nestvec: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("nestvec: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
