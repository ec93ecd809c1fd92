"""How ``nestvec ingest`` waits for servers, and what it says meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from nestvec.cli.options import option, option_group

if TYPE_CHECKING:
    from nestvec.ingest import DeliveryOptions
    from nestvec.ingest.finished import FinishedIngest
    from nestvec.ingest.write.patience import Patience


T = TypeVar("T")


@dataclass(frozen=True)
class DeliveryArgs:
    """How hard a write is tried."""

    retry_seconds: float
    requests: int
    yes: bool


delivery_options = option_group(
    "Delivery",
    option(
        "--retry-seconds",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        default=3600,
        help="How long to wait for a service or a Milvus that is busy, restarts or is gone, since the last "
        "row that was stored; 0 stops at the first error.",
    ),
    option(
        "--requests",
        type=click.IntRange(1, 64),
        default=4,
        help="Requests to a Milvus server at the same time. Milvus Lite takes one.",
    ),
    option(
        "--yes",
        is_flag=True,
        help="Store the rows of a file a second time, in a collection whose keys Milvus generates; otherwise "
        "a terminal is asked, and it is an error elsewhere.",
    ),
)


def make_delivery(args: DeliveryArgs) -> DeliveryOptions:
    """The options of an ingest that says on standard error what it waits for."""
    from nestvec.ingest import DeliveryOptions
    from nestvec.ingest.write.waiting_lines import WaitingLines

    return DeliveryOptions(retry_seconds=args.retry_seconds, requests=args.requests, waiting=WaitingLines())


def start_patience(args: DeliveryArgs) -> Patience:
    """How long the start of an ingest waits for Milvus or the service, which it says on standard error."""
    from nestvec.ingest.write.patience import Patience
    from nestvec.ingest.write.waiting_lines import WaitingLines

    return Patience(args.retry_seconds, waiting=WaitingLines())


def start_patiently(args: DeliveryArgs, start: Callable[[], T], *, resumes: bool) -> T:
    """The result of ``start``; a Milvus that is not there is waited for.

    Raises what ``start`` raises; a first run says at once that an address is wrong.
    """
    from nestvec.ingest.write.patience import wait_for_milvus

    return wait_for_milvus(start_patience(args), start, resumes=resumes)


def confirm_again(args: DeliveryArgs, *, interactive: bool) -> Callable[[FinishedIngest], bool]:
    """Whether a file is ingested again: asks on a terminal; elsewhere an IngestError without ``--yes``.

    A command that is started again by a supervisor after it had finished would double the rows.
    """

    def confirm(finished: FinishedIngest) -> bool:
        from nestvec_schemas.errors import IngestError

        if args.yes:
            return True
        stored = (
            f"{finished.rows} rows of this file were stored in the collection on {finished.day}, and Milvus "
            "generates its keys"
        )
        if interactive:
            text = f"{stored}: they will be stored a second time.\nStore them again?"
            return click.confirm(text, abort=True, err=True)
        raise IngestError(
            "the rows of this file would be stored a second time",
            value=stored,
            next_step="Nothing was written; --yes stores them again.",
        )

    return confirm
