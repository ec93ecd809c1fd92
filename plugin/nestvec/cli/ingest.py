"""``nestvec ingest``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nestvec.cli import COMMANDS
from nestvec.cli.completion import complete_collections
from nestvec.cli.options import (
    MilvusArgs,
    args_command,
    json_option,
    milvus_options,
    models_option,
    option,
    option_group,
)
from nestvec.terminal.interrupts import stop_on_signal
from nestvec.terminal.tables import print_json

if TYPE_CHECKING:
    from nestvec.ingest import IngestReport


@dataclass(frozen=True)
class RowArgs:
    """Which rows are read, and what happens to those that cannot be stored."""

    format: str | None
    batch: int
    restart: bool
    rejects: Path | None
    on_error: Literal["reject", "zero"]


@dataclass(frozen=True)
class IngestArgs:
    """The command's arguments."""

    file: Path
    collection: str
    milvus: MilvusArgs
    models: Path
    rows: RowArgs
    json: bool


@click.command("ingest", cls=args_command(IngestArgs), short_help=COMMANDS["ingest"].short_help)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@option_group(
    "Milvus",
    option(
        "--collection",
        required=True,
        metavar="NAME",
        shell_complete=complete_collections,
        help="Collection to write to.",
    ),
)
@milvus_options
@models_option
@option_group(
    "Rows",
    option(
        "--format",
        type=click.Choice(["jsonl", "csv", "parquet"]),
        show_default="the file's extension",
        help="Format of the file.",
    ),
    option("--batch", type=click.IntRange(1, 5120), default=256, help="Rows in one request."),
    option("--restart", is_flag=True, help="Discard an interrupted run and begin with the first row."),
    option(
        "--rejects",
        type=click.Path(path_type=Path, dir_okay=False),
        show_default="FILE.rejected.jsonl",
        help="File for the rows that cannot be stored.",
    ),
    option(
        "--on-error",
        type=click.Choice(["reject", "zero"]),
        default="reject",
        help="What to do with a row whose image cannot be fetched or decoded. reject: skip it. zero: store a "
        "zero vector; a service that runs without --on-error zero refuses the rows of the request instead.",
    ),
)
@json_option
def command(args: IngestArgs) -> None:
    """Write the rows of a JSONL, CSV or Parquet file to a collection; Milvus embeds them.

    Rows that cannot be stored go to FILE.rejected.jsonl with the reason, and the others are written. After
    an interruption, the same command continues where it stopped, and no row is written twice. A row whose
    primary key is in the collection replaces that row. A text that the spec composes from other columns is
    filled in if a row lacks it.

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

    source = open_source(args.file, args.rows.format)
    options = IngestOptions(
        _target(args.milvus),
        batch=args.rows.batch,
        rejects=args.rows.rejects,
        kind=source.format,
        restart=args.rows.restart,
        on_error=args.rows.on_error,
    )
    milvus = args.milvus
    with open_milvus(milvus.uri, token=milvus.token, database=milvus.database, create=False) as client:
        table = read_table(client, args.collection)
        with (
            serve_in_process(table.services, args.models),
            progress(f"Ingesting {args.file.name}", source.total) as advance,
            stop_on_signal("this batch") as stop,
        ):
            report = ingest(client, table, args.file, options, advance, stop)
    _print_report(report, args.collection, as_json=args.json)


def _target(milvus: MilvusArgs) -> str:
    """The database, independently of the folder that the command runs in."""
    uri = milvus.uri
    place = str(Path(uri).resolve()) if uri.endswith(".db") else uri.rstrip("/")
    return f"{place}#{milvus.database}" if milvus.database else place


def _print_report(report: IngestReport, collection: str, *, as_json: bool) -> None:
    """Print the report; exit with 130 after an interruption, with 1 if no row could be written."""
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
        _print_lines(report, collection, rate)
    if not report.finished:
        click.echo("Stopped. To continue, run the same command again (without --restart).", err=True)
        sys.exit(130)
    if report.rejected and not report.inserted:
        sys.exit(1)


def _print_lines(report: IngestReport, collection: str, rate: float) -> None:
    resumed = f", resumed after row {report.resumed_at}" if report.resumed_at else ""
    click.echo(
        f"{report.inserted} rows into {collection}{resumed}; {report.seconds:.1f} s, {rate:.0f} rows/s."
    )
    if report.rejected:
        click.echo(f"{report.rejected} rejected; see {report.rejects} for the reasons:")
        for reason in report.reasons:
            click.echo(f"  {reason}")
