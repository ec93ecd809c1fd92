"""Options of commands that change a collection with its rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nestvec.cli.options import MilvusArgs, json_option, milvus_options, models_option, option, option_group

if TYPE_CHECKING:
    from nestvec.collections.change.run import ChangeOptions, ChangeReport

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class ChangeArgs:
    """How a change is carried out."""

    milvus: MilvusArgs
    models: Path
    keep_old: bool
    restart: bool
    rate: float | None
    retry_seconds: float
    dry_run: bool
    yes: bool
    json: bool

    def options(self) -> ChangeOptions:
        """The options of the change, which says on standard error what it waits for."""
        from nestvec.collections.change.run import ChangeOptions
        from nestvec.ingest import DeliveryOptions
        from nestvec.ingest.write.waiting_lines import WaitingLines

        delivery = DeliveryOptions(retry_seconds=self.retry_seconds, waiting=WaitingLines())
        return ChangeOptions(keep_old=self.keep_old, rows_per_second=self.rate, delivery=delivery)


def change_options(command: F) -> F:
    """The fields of ChangeArgs."""
    command = json_option(command)
    command = option_group(
        "Change",
        option("--dry-run", is_flag=True, help="Print the plan and change nothing."),
        option("--yes", is_flag=True, help="Do not ask for confirmation after the plan."),
        option(
            "--keep-old",
            is_flag=True,
            help="Keep the previous collection, for nestvec collection rollback.",
        ),
        option(
            "--rate",
            type=click.FloatRange(min=0, min_open=True),
            metavar="ROWS",
            show_default="as many as the servers take",
            help="Maximum rows written per second.",
        ),
        option(
            "--retry-seconds",
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            default=3600,
            help="How long to wait for a service or a Milvus that is busy, restarts or is gone; 0 stops at "
            "the first error.",
        ),
        option(
            "--restart",
            is_flag=True,
            help="Drop what an interrupted change did, and start again.",
        ),
    )(command)
    return milvus_options(models_option(command))


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, unless ``yes``. Raises click.UsageError without a terminal, click.Abort for no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Without a terminal, this needs --yes.")
    click.confirm(question, abort=True, err=True)


def print_report(report: ChangeReport) -> None:
    """Print the result of a change."""
    fields = f" with {', '.join(report.fields)}" if report.fields else ""
    old = f"; the previous collection is kept as {report.old}" if report.old else ""
    click.echo(f"{report.collection} has {report.rows:,} rows{fields}; {report.seconds:.1f} s{old}.")
