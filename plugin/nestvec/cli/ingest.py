"""``nestvec ingest``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nestvec.cli import COMMANDS
from nestvec.cli.ingest_delivery import (
    DeliveryArgs,
    confirm_again,
    delivery_options,
    make_delivery,
    start_patience,
    start_patiently,
)
from nestvec.cli.options import (
    MilvusArgs,
    args_command,
    collection_option,
    json_option,
    milvus_options,
    models_option,
    name_value_pairs,
    option,
    option_group,
)
from nestvec.terminal.interrupts import stop_on_signal
from nestvec.terminal.tables import print_json

if TYPE_CHECKING:
    from nestvec.ingest import IngestOptions, IngestReport
    from nestvec.milvus.catalog import Table


@dataclass(frozen=True)
class RowArgs:
    """Which rows are read, and what happens to those that cannot be stored."""

    format: str | None
    batch: int
    restart: bool
    rejects: Path | None
    on_error: Literal["reject", "zero"]
    limit: int | None
    dry_run: bool


@dataclass(frozen=True)
class FileArgs:
    """What the content of the files does not say."""

    delimiter: str | None
    quote: str
    escape: str | None
    encoding: str | None
    null: tuple[str, ...]
    columns: str | None


@dataclass(frozen=True)
class ColumnArgs:
    """Which columns of the files fill which columns of the collection."""

    map: dict[str, str]
    ignore_extra: bool


@dataclass(frozen=True)
class IngestArgs:
    """The command's arguments."""

    files: tuple[Path, ...]
    collection: str
    milvus: MilvusArgs
    models: Path
    rows: RowArgs
    reading: FileArgs
    columns: ColumnArgs
    delivery: DeliveryArgs
    json: bool


@click.command("ingest", cls=args_command(IngestArgs), short_help=COMMANDS["ingest"].short_help)
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
)
@collection_option
@milvus_options
@models_option
@option_group(
    "Rows",
    option(
        "--format",
        type=click.Choice(["jsonl", "json", "csv", "tsv", "parquet"]),
        show_default="the file's extension",
        help="Format of the file; standard input needs it.",
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
    option(
        "--limit",
        type=click.IntRange(0),
        metavar="NUMBER",
        show_default="all",
        help="Read at most this many rows of each file.",
    ),
    option(
        "--dry-run",
        is_flag=True,
        help="Read and check the rows, count them and show the first that cannot be stored; write nothing.",
    ),
)
@option_group(
    "Files",
    option(
        "--delimiter",
        metavar="CHAR",
        show_default="detected: , ; tab or |",
        help="Character between the cells of a CSV or TSV file; tab for a tab.",
    ),
    option(
        "--quote", metavar="CHAR", default='"', help="Character around a cell of a CSV or TSV file, or none."
    ),
    option(
        "--escape",
        metavar="CHAR",
        show_default="quotes are doubled",
        help="Character before a quote inside a quoted cell.",
    ),
    option(
        "--encoding",
        metavar="NAME",
        show_default="the byte order mark, or utf-8",
        help="Encoding of a text file, for example cp1252.",
    ),
    option(
        "--null",
        multiple=True,
        metavar="TEXT",
        show_default="an empty cell",
        help="Cell of a CSV or TSV file that stands for null; an empty text is a text then (repeatable).",
    ),
    option(
        "--columns",
        metavar="NAMES",
        show_default="the first row",
        help="Names of the columns of a CSV or TSV file without a header, in order: id,title,text.",
    ),
)
@option_group(
    "Columns",
    option(
        "--map",
        multiple=True,
        callback=name_value_pairs,
        metavar="NAME=COLUMN",
        help="Store a column of the file in this column of the collection (repeatable).",
    ),
    option(
        "--ignore-extra",
        is_flag=True,
        help="Leave out columns that the collection does not have, or that it fills itself.",
    ),
)
@delivery_options
@json_option
def command(args: IngestArgs) -> None:
    """Write the rows of JSONL, JSON, CSV, TSV or Parquet files to a collection; Milvus embeds them.

    Files may be compressed with gzip, zstd, bzip2 or xz, and - is standard input. Rows that cannot be stored
    go to FILE.rejected.jsonl with the reason, and the others are written. After an interruption, the same
    command continues where it stopped, and no row is written twice; standard input cannot be continued. A row
    whose primary key is in the collection replaces that row. A service or a Milvus that is busy, restarts or
    is gone is waited for. A text that the spec composes from other columns is filled in if a row lacks it.

    \b
    Examples:
      nestvec ingest papers.jsonl --collection papers --uri papers.db
      nestvec ingest export.csv.gz --collection papers --uri papers.db \\
        --delimiter ';' --encoding cp1252 --map Titel=title --ignore-extra
    """
    from nestvec.collections.change.switch import check_name
    from nestvec.datasets.readers import STDIN
    from nestvec.ingest import ingest
    from nestvec.ingest.check.dry_run import check_rows
    from nestvec.ingest.write.patience import wait_for_service
    from nestvec.milvus.catalog import read_table
    from nestvec.service.in_process import serve_in_process
    from nestvec.terminal.progress import progress

    if args.rows.rejects and len(args.files) > 1:
        raise click.UsageError("--rejects is for one file: several have a file of rejected rows each.")
    options = _ingest_options(args)
    totals = [_total(path, options) for path in args.files]
    reports = dict[Path, "IngestReport"]()
    doing = "Checking" if args.rows.dry_run else "Ingesting"
    with ExitStack() as stack:
        # Who only has rows checked, waits for the answer.
        delivery = replace(args.delivery, retry_seconds=0) if args.rows.dry_run else args.delivery
        start = partial(start_patiently, delivery, resumes=_resumes(args.files, args.collection))
        client = start(lambda: stack.enter_context(args.milvus.open()))
        table = start(lambda: read_table(client, args.collection))
        start(lambda: check_name(client, args.collection))
        options = _with_defaults(options, table)
        if not args.rows.dry_run:
            patience = start_patience(args.delivery)

            def serve(service: str) -> None:
                stack.enter_context(serve_in_process([service], args.models, tables=(table,)))

            # Each by itself: one that is started here keeps running while another is waited for.
            for service in table.services:
                wait_for_service(patience, partial(serve, service))
        stop = stack.enter_context(stop_on_signal("this batch"))
        for path, total in zip(args.files, totals, strict=True):
            name = "standard input" if path == STDIN else path.name
            with progress(f"{doing} {name}", total) as advance:
                if args.rows.dry_run:
                    reports[path] = check_rows(table, path, options, advance, stop)
                else:
                    reports[path] = ingest(client, table, path, options, advance, stop)
            if not reports[path].finished:
                break
    _print_reports(reports, args)


def _with_defaults(options: IngestOptions, table: Table) -> IngestOptions:
    """The options with the defaults of columns that nestvec computes."""
    if not table.default_expressions:
        return options
    from nestvec.sql.statements.dml.defaults import file_defaults

    return replace(options, columns=replace(options.columns, defaults=file_defaults(table)))


def _resumes(files: Iterable[Path], collection: str) -> bool:
    """Whether an ingest of these files was interrupted."""
    from nestvec.ingest.journal import journal_path

    return any(journal_path(path, collection).exists() for path in files)


def _total(path: Path, options: IngestOptions) -> int | None:
    """The rows of a file that says so. Raises FileUnreadable for a file that cannot be read."""
    from nestvec.datasets.readers import STDIN, format_name, open_source

    if path == STDIN or not path.is_file():
        # A pipe can be read once; it is opened where it is ingested.
        format_name(path, options.kind)
        return None
    return open_source(path, options.kind, options.reading).total


def _ingest_options(args: IngestArgs) -> IngestOptions:
    from nestvec.datasets.readers import ReadOptions
    from nestvec.ingest import IngestOptions
    from nestvec.ingest.columns import ColumnMap
    from nestvec.ingest.target import journal_target

    reading, rows = args.reading, args.rows
    names = None if reading.columns is None else tuple(name.strip() for name in reading.columns.split(","))
    return IngestOptions(
        journal_target(args.milvus.uri, args.milvus.database),
        batch=rows.batch,
        rejects=rows.rejects,
        kind=rows.format,
        restart=rows.restart,
        on_error=rows.on_error,
        reading=ReadOptions(
            delimiter=reading.delimiter,
            quote=reading.quote,
            escape=reading.escape,
            encoding=reading.encoding,
            nulls=reading.null,
            columns=names,
            limit=rows.limit,
        ),
        columns=ColumnMap(renamed=args.columns.map, ignore_extra=args.columns.ignore_extra),
        delivery=make_delivery(args.delivery),
        again=confirm_again(args.delivery, interactive=sys.stdin.isatty() and not args.json),
    )


def _print_reports(reports: Mapping[Path, IngestReport], args: IngestArgs) -> None:
    """Print the reports; exit with 130 after an interruption, with 1 if no row could be written."""
    dry_run = args.rows.dry_run
    if args.json:
        documents = [
            {"file": str(path), **_document(report, args.collection, dry_run=dry_run)}
            for path, report in reports.items()
        ]
        print_json(documents[0] if len(args.files) == 1 else {"files": documents})
    else:
        for path, report in reports.items():
            if len(args.files) > 1:
                click.echo(f"{path}:")
            _print_lines(report, args.collection, dry_run=dry_run)
    for path, report in reports.items():
        for warning in report.warnings:
            click.echo(f"Warning: {warning}", err=True)
        if not report.finished:
            _print_stopped(path)
            sys.exit(130)
    rejected = any(report.rejected for report in reports.values())
    if rejected and not any(report.inserted for report in reports.values()):
        sys.exit(1)


def _print_stopped(path: Path) -> None:
    if path.is_file():
        click.echo("Stopped. To continue, run the same command again (without --restart).", err=True)
    else:
        click.echo("Stopped. A pipe cannot be continued: begin again with its first row.", err=True)


def _document(report: IngestReport, collection: str, *, dry_run: bool) -> dict[str, object]:
    """A report for programs."""
    return {
        "collection": collection,
        "inserted": 0 if dry_run else report.inserted,
        **({"accepted": report.inserted} if dry_run else {}),
        "replaced": report.replaced,
        "rejected": report.rejected,
        "rejects": str(report.rejects) if report.rejects else None,
        **({"reasons": list(report.reasons)} if dry_run else {}),
        "warnings": list(report.warnings),
        "resumed_at": report.resumed_at,
        "finished": report.finished,
        "seconds": round(report.seconds, 3),
        "rows_per_second": round(_rate(report), 1),
    }


def _rate(report: IngestReport) -> float:
    return report.this_run / report.seconds if report.seconds else 0.0


def _print_lines(report: IngestReport, collection: str, *, dry_run: bool) -> None:
    resumed = f", resumed after row {report.resumed_at}" if report.resumed_at else ""
    if dry_run:
        click.echo(f"{report.inserted} rows can be stored in {collection}; nothing was written.")
    else:
        click.echo(
            f"{report.inserted} rows into {collection}{resumed}; {report.seconds:.1f} s, "
            f"{_rate(report):.0f} rows/s."
        )
    if report.replaced:
        replace_ = "would replace" if dry_run else "replaced"
        click.echo(f"Later rows with the same keys {replace_} {report.replaced} of them.")
    if report.rejected:
        where = f"see {report.rejects} for the reasons" if report.rejects else "the first reasons"
        click.echo(f"{report.rejected} rejected; {where}:")
        for reason in report.reasons:
            click.echo(f"  {reason}")
