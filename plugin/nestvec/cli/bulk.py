"""``nestvec bulk``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import (
    MilvusArgs,
    args_command,
    collection_option,
    json_option,
    milvus_options,
    name_value_pairs,
    option,
    option_group,
)
from nestvec.terminal.interrupts import stop_on_signal
from nestvec.terminal.tables import print_json

if TYPE_CHECKING:
    from nestvec.bulk.options import BulkOptions, BulkReport
    from nestvec.bulk.run import BulkJob


@dataclass(frozen=True)
class BulkEngineArgs:
    """What embeds."""

    models: Path
    engine: Literal["auto", "openvino", "onnx", "triton"]
    device: str
    triton_url: str
    service: str | None


@dataclass(frozen=True)
class RayArgs:
    """Where the tasks run."""

    ray: str | None
    workers: int
    worker_cpus: float
    worker_gpus: float
    dashboard: bool


@dataclass(frozen=True)
class JobArgs:
    """The files that are written, and their import."""

    to: str | None
    task_rows: int
    do_import: bool
    restart: bool
    retry_seconds: float
    requests: int


@dataclass(frozen=True)
class BulkRowArgs:
    """Which rows are read, and which columns they fill."""

    format: str | None
    limit: int | None
    dry_run: bool
    map: dict[str, str]
    ignore_extra: bool
    delimiter: str | None
    encoding: str | None
    null: tuple[str, ...]


@dataclass(frozen=True)
class BulkArgs:
    """The command's arguments."""

    source: str
    collection: str
    milvus: MilvusArgs
    engine: BulkEngineArgs
    ray: RayArgs
    job: JobArgs
    rows: BulkRowArgs
    json: bool


@click.command("bulk", cls=args_command(BulkArgs), short_help=COMMANDS["bulk"].short_help)
@click.argument("source", metavar="SOURCE")
@collection_option
@milvus_options
@option_group(
    "Encoders",
    option(
        "--models",
        "--encoders-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("models"),
        envvar="NESTVEC_MODELS",
        help="Folder of the exported encoders, on every machine of the cluster.",
    ),
    option(
        "--engine",
        type=click.Choice(["auto", "openvino", "onnx", "triton"]),
        default="auto",
        help="What runs the encoders in each worker.",
    ),
    option("--device", default="auto", metavar="NAME", help="cpu, cuda or cuda:1, for ONNX Runtime."),
    option(
        "--triton-url",
        default="127.0.0.1:8001",
        metavar="HOST:PORT",
        help="Triton's gRPC address, for --engine triton.",
    ),
    option("--service", metavar="URL", help="A service that embeds, instead of an engine in each worker."),
)
@option_group(
    "Ray",
    option(
        "--ray",
        metavar="ADDRESS",
        show_default="a Ray of this machine, for this command",
        help="Ray cluster: auto, HOST:PORT or ray://HOST:10001; local for a Ray of this machine.",
    ),
    option(
        "--workers",
        type=click.IntRange(0),
        default=0,
        help="Workers, at most; 0 for as many as the cluster has room for.",
    ),
    option(
        "--worker-cpus",
        type=click.FloatRange(0),
        default=0,
        help="CPUs of each worker, and threads of its engine; 0 for 4, or half of those of the largest node.",
    ),
    option("--worker-gpus", type=click.FloatRange(0), default=0, help="GPUs of each worker."),
    option("--dashboard", is_flag=True, help="Serve the dashboard of this command's own Ray, on loopback."),
)
@option_group(
    "Job",
    option(
        "--to",
        metavar="FOLDER",
        show_default="SOURCE.COLLECTION.bulk",
        help="Folder for the files and the record of what is finished: a path that every worker has, or "
        "s3://BUCKET/FOLDER, gs://BUCKET/FOLDER. A Milvus server imports from its own bucket.",
    ),
    option("--task-rows", type=click.IntRange(1), default=50_000, help="Rows of a task, at most."),
    option(
        "--import/--no-import",
        "do_import",
        default=True,
        help="Whether the files are imported into the collection.",
    ),
    option("--restart", is_flag=True, help="Discard an interrupted run and begin with the first row."),
    option(
        "--retry-seconds",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        default=3600,
        help="How long to wait for a Milvus that is busy, restarts or is gone.",
    ),
    option("--requests", type=click.IntRange(1, 64), default=4, help="Imports at the same time."),
)
@option_group(
    "Rows",
    option(
        "--format",
        type=click.Choice(["jsonl", "json", "csv", "tsv", "parquet"]),
        show_default="the files' extension",
        help="Format of the files.",
    ),
    option("--limit", type=click.IntRange(0), metavar="NUMBER", show_default="all", help="Rows to read."),
    option("--dry-run", is_flag=True, help="Count the rows and the tasks; embed and write nothing."),
    option(
        "--map",
        multiple=True,
        callback=name_value_pairs,
        metavar="NAME=COLUMN",
        help="Store a column of the files in this column of the collection (repeatable).",
    ),
    option(
        "--ignore-extra",
        is_flag=True,
        help="Leave out columns that the collection does not have, or that it fills itself.",
    ),
    option("--delimiter", metavar="CHAR", show_default="detected", help="Between the cells of CSV files."),
    option(
        "--encoding",
        metavar="NAME",
        show_default="the byte order mark, or utf-8",
        help="Encoding of text files.",
    ),
    option(
        "--null",
        multiple=True,
        metavar="TEXT",
        show_default="an empty cell",
        help="Cell of a CSV file that stands for null (repeatable).",
    ),
)
@json_option
def command(args: BulkArgs) -> None:
    """Embed the rows of a file, a folder, a pattern or a bucket on Ray, and import them into a collection.

    SOURCE has JSONL, JSON, CSV, TSV or Parquet files, which may be compressed as for nestvec ingest, or is
    the folder of a Delta or Lance table. Each task's rows become a Parquet file that Milvus's bulk import
    reads; where there is no import, in Milvus Lite, the rows are inserted. Rows that cannot be stored go to
    rejected.jsonl in the folder of the job. After an interruption, the same command continues with the tasks
    that are not finished.

    \b
    Examples:
      nestvec bulk papers/ --collection papers --uri papers.db
      nestvec bulk s3://corpus/papers --collection papers \\
        --uri http://milvus:19530 \\
        --ray auto --worker-gpus 1 --to s3://milvus-bucket/papers
    """
    from nestvec.bulk.forks import allow_forks

    allow_forks()
    from nestvec.bulk.run import BulkJob
    from nestvec.collections.change.switch import check_name
    from nestvec.milvus.catalog import read_table
    from nestvec.terminal.progress import progress

    options = _options(args)
    with ExitStack() as stack:
        client = stack.enter_context(args.milvus.open())
        table = read_table(client, args.collection)
        check_name(client, args.collection)
        if args.rows.dry_run:
            _print_dry_run(BulkJob(client, table, options, partial(progress)), args)
            return
        stop = stack.enter_context(stop_on_signal("this task"))
        report = BulkJob(client, table, options, partial(progress), stop).run()
    _print_report(report, options, args)


def _options(args: BulkArgs) -> BulkOptions:
    from nestvec.bulk.on_ray import RayOptions
    from nestvec.bulk.options import BulkOptions, default_folder
    from nestvec.bulk.task import EngineChoice
    from nestvec.datasets.readers import ReadOptions
    from nestvec.engines.factory import EngineOptions
    from nestvec.ingest import DeliveryOptions, IngestOptions
    from nestvec.ingest.columns import ColumnMap
    from nestvec.ingest.target import journal_target
    from nestvec.ingest.write.waiting_lines import WaitingLines

    rows, job, engine = args.rows, args.job, args.engine
    return BulkOptions(
        source=args.source,
        folder=job.to or default_folder(args.source, args.collection),
        rows=IngestOptions(
            journal_target(args.milvus.uri, args.milvus.database),
            kind=rows.format,
            reading=ReadOptions(
                delimiter=rows.delimiter, encoding=rows.encoding, nulls=rows.null, limit=rows.limit
            ),
            columns=ColumnMap(renamed=rows.map, ignore_extra=rows.ignore_extra),
            restart=job.restart,
            delivery=DeliveryOptions(job.retry_seconds, job.requests, WaitingLines()),
        ),
        engine=EngineChoice(
            engine.models.absolute(),
            EngineOptions(engine.engine, device=engine.device, triton_url=engine.triton_url),
            service=engine.service,
        ),
        ray=RayOptions(
            args.ray.ray, args.ray.workers, args.ray.worker_cpus, args.ray.worker_gpus, args.ray.dashboard
        ),
        task_rows=job.task_rows,
        imports=job.do_import,
    )


def _print_dry_run(job: BulkJob, args: BulkArgs) -> None:
    files, tasks = job.dry_run()
    folder, rows = job.options.folder, sum(file.rows for file in files)
    if args.json:
        print_json({"files": len(files), "rows": rows, "tasks": tasks, "folder": folder})
    else:
        click.echo(f"{rows} rows in {len(files)} files, {tasks} tasks into {folder}.")


def _print_report(report: BulkReport, options: BulkOptions, args: BulkArgs) -> None:
    """Print the report; exit with 130 after an interruption, with 1 if every row was rejected."""
    from nestvec.bulk.run import REJECTS

    rejects = f"{options.folder}/{REJECTS}" if report.rejected else None
    if args.json:
        document = {**asdict(report), "tokens": report.tokens}
        for name, worker in report.workers.items():
            document["workers"][name]["tokens_per_second"] = round(worker.tokens_per_second, 1)
        print_json({"collection": args.collection, "folder": options.folder, **document})
    else:
        _print_lines(report, options, rejects)
        for warning in report.warnings:
            click.echo(f"Warning: {warning}", err=True)
    if not report.finished:
        click.echo("Stopped. To continue, run the same command again (without --restart).", err=True)
        sys.exit(130)
    if report.rejected and not report.rows:
        sys.exit(1)


def _print_lines(report: BulkReport, options: BulkOptions, rejects: str | None) -> None:
    from nestvec.bulk.imports.stale import STALE_KEYS

    resumed = f", {report.resumed} of them by earlier runs" if report.resumed else ""
    click.echo(f"{report.rows} rows in {report.tasks} tasks{resumed}: {options.folder}")
    if report.repeated and report.finished:
        click.echo(f"Tasks begun again, as after a worker or a command was lost: {report.repeated}.")
    if options.imports and report.finished:
        click.echo(f"{report.imported} rows imported by this run, {report.seconds['import']:.1f} s.")
    if report.stale:
        click.echo(
            f"{report.stale} rows from before --restart stay, although the source no longer has them: "
            f"{options.folder}/{STALE_KEYS} has their keys."
        )
    if report.rejected:
        click.echo(f"{report.rejected} rejected; see {rejects} for the reasons:")
        for reason in report.reasons:
            click.echo(f"  {reason}")
    for name, worker in report.workers.items():
        click.echo(
            f"Worker {name}: {worker.tokens_per_second:.0f} tokens/s, "
            f"{worker.bytes_beyond_engine / 1e6:.0f} MB beyond its engine."
        )
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    click.echo(f"Time: {phases}.")
