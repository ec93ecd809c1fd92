"""``nestvec collection upgrade``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import click

from nestvec.cli.collection_change.options import ChangeArgs, change_options, confirm, print_report
from nestvec.cli.completion import complete_collections, complete_encoders
from nestvec.cli.options import args_command, integers, option, option_group
from nestvec.terminal.tables import print_json

if TYPE_CHECKING:
    from pymilvus import MilvusClient

    from nestvec.collections.upgrade.columns import UpgradeRequest
    from nestvec.collections.upgrade.run import BridgeWish, UpgradePlan


@dataclass(frozen=True)
class UpgradeArgs:
    """The arguments of ``upgrade``."""

    name: str
    encoder: str | None
    field: str | None
    dims: tuple[int, ...] | None
    bridge: bool | None
    bridge_only: bool
    status: bool
    abort: bool
    change: ChangeArgs

    @property
    def wish(self) -> BridgeWish:
        """Whether queries are to use a bridge meanwhile."""
        if self.bridge is None:
            return "required" if self.bridge_only else "auto"
        return "required" if self.bridge else "none"


@click.command("upgrade", cls=args_command(UpgradeArgs))
@click.argument("name", shell_complete=complete_collections)
@option_group(
    "Upgrade",
    option("--encoder", metavar="NAME", shell_complete=complete_encoders, help="New encoder of the service."),
    option(
        "--field",
        metavar="NAME",
        show_default="all embedded fields",
        help="Text field, or vector field, to upgrade.",
    ),
    option(
        "--dims",
        callback=integers,
        metavar="NUMBERS",
        show_default="those of the present vectors",
        help="Dims of the new vectors, in the order of the vector fields: 384,64.",
    ),
    option(
        "--bridge/--no-bridge",
        default=None,
        show_default="if it keeps 0.7 of the old encoder's nDCG@10",
        help="Embed queries by the new encoder through a bridge meanwhile; one that is missing is fitted on "
        "the collection's texts.",
    ),
    option("--bridge-only", is_flag=True, help="Stop once queries use the bridge: embed nothing anew."),
    option("--status", is_flag=True, help="Print how far an upgrade is, and change nothing."),
    option("--abort", is_flag=True, help="Return to the encoder of before, and drop what was embedded anew."),
)
@change_options
def upgrade(args: UpgradeArgs) -> None:
    """Replace an encoder of collection NAME while it is in use.

    First, SQL's queries are embedded by the new encoder through a bridge, which searches the vectors that
    are there (nestvec bridge); where Milvus can alter a Function, its own searches are as well. Then all rows
    are embedded anew in a second collection, as nestvec collection alter does it. At the end NAME leads to
    that one. The vector fields keep their names.

    The plan is printed first. After an interruption, the same command continues; --abort ends the upgrade.

    \b
    Examples:
      nestvec collection upgrade papers --encoder bge --uri papers.db
      nestvec collection upgrade papers --encoder bge \\
        --bridge-only --uri papers.db
      nestvec collection upgrade papers --status --uri papers.db
    """
    if args.encoder is None and not (args.status or args.abort):
        raise click.UsageError("Name the new encoder with --encoder, or use --status or --abort.")
    if args.abort and (args.status or args.change.dry_run):
        other = "--status" if args.status else "--dry-run"
        raise click.UsageError(f"--abort and {other} exclude each other: --abort ends the upgrade.")
    if args.bridge_only and args.bridge is False:
        raise click.UsageError("--bridge-only and --no-bridge exclude each other.")
    with args.change.milvus.open() as client:
        if args.status:
            _print_status(client, args)
        elif args.abort:
            _abort(client, args)
        else:
            _upgrade(client, args)


def _print_status(client: MilvusClient, args: UpgradeArgs) -> None:
    from nestvec.collections.upgrade.record import read_status

    status = read_status(client, args.name)
    if args.change.json:
        print_json(None if status is None else status.as_json())
    else:
        click.echo(f"No upgrade of {args.name} has begun." if status is None else status.line())


def _abort(client: MilvusClient, args: UpgradeArgs) -> None:
    from nestvec.collections.upgrade.record import abort_upgrade

    confirm(f"Abort the upgrade of {args.name}?", yes=args.change.yes)
    status = abort_upgrade(client, args.name)
    if args.change.json:
        print_json(status.as_json())
    else:
        dropped = "" if status.target is None else f"; {status.target} is dropped"
        click.echo(f"{args.name} is embedded by {status.record.old} again{dropped}.")


def _upgrade(client: MilvusClient, args: UpgradeArgs) -> None:
    from nestvec.collections.change.interrupted import discard
    from nestvec.collections.upgrade.columns import UpgradeRequest
    from nestvec.collections.upgrade.record import upgrade_lock
    from nestvec.collections.upgrade.run import begin_upgrade

    change = args.change
    request = UpgradeRequest(args.name, args.encoder or "", args.field, args.dims or ())
    with upgrade_lock(client, args.name), ExitStack() as stack:
        if change.restart:
            discard(client, args.name)
        plan = _planned(client, request, args)
        if not _agreed(plan, change):
            return
        if plan.bridge is not None and plan.bridge.name is not None and not plan.bridge.exists:
            plan = _fitted(client, plan, args)
        _serve(stack, client, request, args)
        begin_upgrade(client, plan)
        if args.bridge_only:
            if change.json:
                print_json(plan.as_json())
            else:
                click.echo(f"Queries of {args.name} use the bridge. The same command without --bridge-only "
                           "embeds the rows anew.")  # fmt: skip
            return
        _embed_anew(stack, client, plan, args)


def _planned(client: MilvusClient, request: UpgradeRequest, args: UpgradeArgs) -> UpgradePlan:
    """The plan, made while the services run."""
    from nestvec.collections.upgrade.run import plan_upgrade

    with ExitStack() as stack:
        _serve(stack, client, request, args)
        return plan_upgrade(
            client, request, args.change.models, bridge=args.wish, keep_old=args.change.keep_old
        )


def _serve(stack: ExitStack, client: MilvusClient, request: UpgradeRequest, args: UpgradeArgs) -> None:
    """Have the collection's services run."""
    from nestvec.collections.change.definition import Change
    from nestvec.collections.change.run import serving_tables
    from nestvec.collections.upgrade.run import begun_change
    from nestvec.service.in_process import serve_in_process

    change = begun_change(client, request) or Change()
    services, tables = serving_tables(client, args.name, change)
    stack.enter_context(serve_in_process(services, args.change.models, tables=tables))


def _fitted(client: MilvusClient, plan: UpgradePlan, args: UpgradeArgs) -> UpgradePlan:
    """The plan after its bridge was fitted: without it if it keeps too little."""
    from nestvec.bridge.upgrade import fit_upgrade_bridge
    from nestvec.collections.upgrade.bridging import fitted_bridge
    from nestvec.terminal.progress import stages
    from nestvec_exporters.progress import Listener

    if plan.columns is None or plan.bridge is None:
        return plan
    with stages() as shown:
        fit_upgrade_bridge(client, plan.columns, args.change.models, Listener(shown.stage, shown.step))
    bridge = fitted_bridge(plan.bridge, plan.columns, args.change.models)
    if bridge.name is None:
        click.echo("\n".join(bridge.lines(plan.columns.old)), err=args.change.json)
    return replace(plan, bridge=bridge)


def _embed_anew(stack: ExitStack, client: MilvusClient, plan: UpgradePlan, args: UpgradeArgs) -> None:
    from nestvec.collections.upgrade.run import finish_upgrade
    from nestvec.ingest.write.patience import StopRequested
    from nestvec.terminal.interrupts import stop_on_signal
    from nestvec.terminal.progress import progress

    stop = stack.enter_context(stop_on_signal("this batch"))
    options = args.change.options()
    try:
        with progress(f"Embedding {args.name} anew", None) as advance:
            report = finish_upgrade(client, plan, replace(options, stop=stop, advance=advance))
    except StopRequested:
        click.echo("Stopped. To continue, run the same command again (without --restart).", err=True)
        raise click.exceptions.Exit(130) from None
    if args.change.json:
        print_json(asdict(report))
    else:
        print_report(report)


def _agreed(plan: UpgradePlan, args: ChangeArgs) -> bool:
    """Print the plan; whether it is to be carried out."""
    if args.dry_run and args.json:
        print_json(plan.as_json())
        return False
    for line in plan.lines():
        click.echo(line, err=args.json)
    if args.dry_run:
        return False
    if plan.columns is not None and not plan.continues:
        confirm("Upgrade the collection?", yes=args.yes)
    return True
