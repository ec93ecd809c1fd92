"""``nestvec ingest``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import args_command, json_option, models_option, store_options
from nestvec.terminal.interrupts import stop_on_signal
from nestvec.terminal.tables import print_json

if TYPE_CHECKING:
    from nestvec.ingest import IngestReport


@dataclass(frozen=True)
class IngestArgs:
    """The command's arguments."""

    file: Path
    collection: str
    uri: str
    token: str = field(repr=False)
    database: str
    models: Path
    batch: int
    rejects: Path | None
    kind: str | None
    restart: bool
    on_error: Literal["reject", "service"]
    as_json: bool


@click.command(cls=args_command(IngestArgs), short_help=COMMANDS["ingest"].short_help)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--collection", required=True, help="The collection to write to.")
@store_options
@models_option
@click.option(
    "--batch", type=click.IntRange(1, 5120), default=256, show_default=True, help="Rows in one request."
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where rows that cannot be stored go.  [default: FILE.rejected.jsonl]",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    help="What the file is.  [default: its extension]",
)
@click.option("--restart", is_flag=True, help="Forget an interrupted run; begin with the first row.")
@click.option(
    "--on-error",
    type=click.Choice(["reject", "service"]),
    default="reject",
    show_default=True,
    help="A row whose picture cannot be had: left out, or as the service does, which refuses the "
    "request with all its rows unless it was started with --on-error zero.",
)
@json_option
def command(args: IngestArgs) -> None:
    """Write the rows of a JSONL, CSV or Parquet file into a collection; Milvus embeds them.

    Rows that cannot be stored go to FILE.rejected.jsonl with the reason, and the others go on; so do rows
    whose picture cannot be had, where an encoder reads pictures. After an interruption the same command goes
    on where it stopped, and no row is there twice. Rows with a key of their own replace those of the same
    key. A text that the collection's spec composes of other columns is filled where a row does not bring it.

    \b
    Example:
      nestvec ingest papers.jsonl --collection papers --uri papers.db
    """
    from nestvec.datasets.readers import open_source
    from nestvec.ingest import IngestOptions, ingest
    from nestvec.milvus.catalog import read_table
    from nestvec.milvus.connection import open_milvus
    from nestvec.service.in_process import serve_in_process
    from nestvec.terminal.progress import progress

    source = open_source(args.file, args.kind)
    target = _target(args.uri, args.database)
    options = IngestOptions(target, args.batch, args.rejects, source.format, args.restart, args.on_error)
    with open_milvus(args.uri, token=args.token, database=args.database, create=False) as client:
        table = read_table(client, args.collection)
        with (
            serve_in_process(table.services, args.models),
            progress(f"Ingesting {args.file.name}", source.total) as advance,
            stop_on_signal("this batch") as stop,
        ):
            report = ingest(client, table, args.file, options, advance, stop)
    _say(report, args.collection, args.as_json)


def _target(uri: str, database: str) -> str:
    """Which database, however the command names it from wherever it is run."""
    place = str(Path(uri).resolve()) if uri.endswith(".db") else uri.rstrip("/")
    return f"{place}#{database}" if database else place


def _say(report: IngestReport, collection: str, as_json: bool) -> None:
    """The report; ends the command with 130 where it was stopped, with 1 where no row went in."""
    rate = report.this_run / report.seconds if report.seconds else 0.0
    if as_json:
        print_json(
            {
                "collection": collection,
                "inserted": report.inserted,
                "rejected": report.rejected,
                "rejects": str(report.rejects) if report.rejects else None,
                "resumed_at": report.resumed_at,
                "finished": report.finished,
                "seconds": round(report.seconds, 3),
                "rows_per_second": round(rate, 1),
            }
        )
    else:
        _say_lines(report, collection, rate)
    if not report.finished:
        click.echo("Stopped. The same command goes on from there.", err=True)
        sys.exit(130)
    if report.rejected and not report.inserted:
        sys.exit(1)


def _say_lines(report: IngestReport, collection: str, rate: float) -> None:
    resumed = f", {report.resumed_at} of them read before" if report.resumed_at else ""
    click.echo(
        f"{report.inserted} rows into {collection}{resumed}; {report.seconds:.1f} s, {rate:.0f} rows/s."
    )
    if report.rejected:
        click.echo(f"{report.rejected} rejected, with the reason: {report.rejects}")
        for reason in report.reasons:
            click.echo(f"  {reason}")
