"""``nestvec collection embed``, ``alter`` and ``rollback``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli.collection_change.options import ChangeArgs, change_options, confirm, print_report
from nestvec.cli.completion import complete_collections, complete_encoders
from nestvec.cli.options import MilvusArgs, args_command, integers, milvus_options, option, option_group
from nestvec.terminal.tables import print_json

if TYPE_CHECKING:
    from pymilvus import MilvusClient

    from nestvec.collections.change.definition import Change
    from nestvec.collections.change.plan import ChangePlan
    from nestvec_schemas.spec.collection_spec import CollectionSpec


@dataclass(frozen=True)
class FieldArgs:
    """The vector fields to add."""

    field: str
    encoder: str
    dims: tuple[int, ...] | None
    exit: int | None
    form: str
    service: str | None


@dataclass(frozen=True)
class EmbedArgs:
    """The arguments of ``embed``."""

    name: str
    fields: FieldArgs
    change: ChangeArgs


@dataclass(frozen=True)
class AlterArgs:
    """The arguments of ``alter``."""

    spec: Path
    change: ChangeArgs


@dataclass(frozen=True)
class RollbackArgs:
    """The arguments of ``rollback``."""

    name: str
    milvus: MilvusArgs
    yes: bool


@click.command("embed", cls=args_command(EmbedArgs))
@click.argument("name", shell_complete=complete_collections)
@option_group(
    "Fields",
    option("--field", required=True, metavar="NAME", help="Text field that is embedded."),
    option(
        "--encoder",
        required=True,
        metavar="NAME",
        shell_complete=complete_encoders,
        help="Encoder of the service.",
    ),
    option(
        "--dims",
        callback=integers,
        metavar="NUMBERS",
        show_default="none, for a sparse encoder",
        help="Dims, one new field for each: 384,64.",
    ),
    option("--exit", type=click.IntRange(1), metavar="LAYER", help="Stop after this layer."),
    option(
        "--form",
        type=click.Choice(["float", "int8", "binary", "sparse"]),
        default="float",
        help="What the fields hold.",
    ),
    option(
        "--service",
        metavar="URL",
        show_default="the one that embeds the collection's other fields",
        help="Service that embeds, as Milvus reaches it.",
    ),
)
@change_options
def embed(args: EmbedArgs) -> None:
    """Add embeddings to collection NAME, which has rows.

    Milvus cannot add an embedded field to a collection that has rows. A second collection is filled beside
    the first, with all of its rows, fields, partitions and indexes, and NAME becomes an alias of it. NAME
    can be read and written meanwhile. The first collection is dropped, unless --keep-old is given.

    The plan is printed first. After an interruption, the same command continues.

    \b
    Example:
      nestvec collection embed papers --field abstract --encoder minilm \\
        --dims 64,384 --uri papers.db
    """
    with ExitStack() as stack:
        client = stack.enter_context(args.change.milvus.open())
        _carry_out(stack, client, args.name, _change_of(client, args), args.change)


@click.command("alter", cls=args_command(AlterArgs))
@click.argument("spec", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@change_options
def alter(args: AlterArgs) -> None:
    """Make a collection's embeddings those of SPEC, a YAML file.

    Embeddings that the spec adds are computed, those that it declares otherwise are computed anew, and
    those that it lacks are dropped, as nestvec collection embed does it: in a second collection beside the
    first, while it is read and written. Other fields must be declared as they are. If only the address of
    the service differs, Milvus from 2.6.8 and before 3.0 alters it in place, and no row is copied.

    The plan is printed first. After an interruption, the same command continues.

    \b
    Example:
      nestvec collection alter papers.yaml --uri papers.db --dry-run
    """
    from nestvec.cli.collection import read_spec

    spec = read_spec(args.spec)
    with ExitStack() as stack:
        client = stack.enter_context(args.change.milvus.open())
        change = _move_in_place(client, spec, _change_to(client, spec, args.change), args.change)
        if change is not None:
            _carry_out(stack, client, spec.collection, change, args.change)


@click.command("rollback", cls=args_command(RollbackArgs))
@click.argument("name", shell_complete=complete_collections)
@milvus_options
@option_group("Other", option("--yes", is_flag=True, help="Do not ask for confirmation."))
def rollback(args: RollbackArgs) -> None:
    """Return NAME to the collection that --keep-old kept.

    What was written since the change is not in it. A second rollback returns to the changed collection.

    \b
    Example:
      nestvec collection rollback papers --uri papers.db
    """
    from nestvec.collections.change.rollback import rollback as roll_back

    confirm(f"Roll {args.name} back, without what was written since its change?", yes=args.yes)
    with args.milvus.open() as client:
        before, now = roll_back(client, args.name)
    click.echo(f"{args.name} is an alias of {now} again. {before} is kept, with what was written since.")


def _change_of(client: MilvusClient, args: EmbedArgs) -> Change:
    """The change that ``embed`` makes. Raises SpecError, CollectionNotFound."""
    from nestvec.collections.change.definition import Change, new_embedding
    from nestvec.collections.change.interrupted import interrupted

    fields = args.fields
    recorded = interrupted(client, args.name)
    service = fields.service
    if service is None and recorded is not None and recorded.change.add:
        service = recorded.change.add[0].service
    spec = new_embedding(
        {
            "field": fields.field,
            "encoder": fields.encoder,
            "dims": fields.dims or (),
            "exit": fields.exit,
            "form": fields.form,
            "service": service or _only_service(client, args.name),
        }
    )
    return Change((spec,))


def _only_service(client: MilvusClient, name: str) -> str:
    from nestvec.milvus.catalog import read_table
    from nestvec_schemas.errors import SpecError

    services = read_table(client, name).services
    if len(services) != 1:
        raise SpecError(
            f"no service was given for the new fields of {name}",
            value=", ".join(services) or "no service",
            next_step="Name it: --service http://127.0.0.1:8080, as Milvus reaches it.",
        )
    return services[0]


def _change_to(client: MilvusClient, spec: CollectionSpec, args: ChangeArgs) -> Change:
    """The change that ``alter`` makes; that of an interrupted command is the same. Raises SpecError, and
    ServiceError for a service that does not say which encoders it has."""
    from nestvec.client.service_key import base_url
    from nestvec.collections.change.definition import change_to_spec
    from nestvec.collections.change.interrupted import interrupted
    from nestvec.milvus.catalog import read_table
    from nestvec.service.in_process import replaced_columns

    recorded = interrupted(client, spec.collection)
    restarted = recorded is None or args.restart
    source = spec.collection if restarted or recorded is None else recorded.before(client)
    if source is None and recorded is not None:
        return recorded.change
    table = read_table(client, source or spec.collection)
    services = map(base_url, spec.services)
    return change_to_spec(table, spec, replaced_columns(table, services, args.models))


def _move_in_place(
    client: MilvusClient, spec: CollectionSpec, change: Change, args: ChangeArgs
) -> Change | None:
    """Alter the addresses that the server alters; returns the rest of the change, None if there is none."""
    from nestvec.client.service_key import base_url
    from nestvec.collections.change.in_place import movable_columns, move_columns, without_columns
    from nestvec.collections.change.interrupted import interrupted
    from nestvec.ingest.write.names import resolve
    from nestvec.milvus.catalog import read_table
    from nestvec.service.in_process import replaced_columns

    if interrupted(client, spec.collection) is not None:
        return change
    table = read_table(client, resolve(client, spec.collection))
    replaced = replaced_columns(table, map(base_url, spec.services), args.models)
    services = movable_columns(client, table, spec, replaced)
    if not services:
        return change
    rest = without_columns(change, services)
    for name, service in services.items():
        click.echo(f"Milvus requests {name} from {service}; no row is copied for it.", err=args.json)
    if not args.dry_run:
        confirm("Change the address?", yes=args.yes)
        move_columns(client, table, services)
    if args.json and rest is None:
        print_json({"collection": spec.collection, "in_place": True, "moved": services})
    return rest


def _carry_out(stack: ExitStack, client: MilvusClient, name: str, change: Change, args: ChangeArgs) -> None:
    from nestvec.collections.change.interrupted import discard
    from nestvec.collections.change.run import plan_or_continue, run_change, serving_tables
    from nestvec.ingest.write.patience import StopRequested
    from nestvec.service.in_process import serve_in_process
    from nestvec.terminal.interrupts import stop_on_signal
    from nestvec.terminal.progress import progress

    if args.restart:
        discard(client, name)
    services, tables = serving_tables(client, name, change)
    stack.enter_context(serve_in_process(services, args.models, tables=tables))
    plan, continues = plan_or_continue(client, name, change, keep_old=args.keep_old)
    if not _agreed(plan, args, continues=continues):
        return
    stop = stack.enter_context(stop_on_signal("this batch"))
    options = args.options()
    try:
        with progress(f"Copying {name}", None) as advance:
            report = run_change(client, plan, change, replace(options, stop=stop, advance=advance))
    except StopRequested:
        click.echo("Stopped. To continue, run the same command again (without --restart).", err=True)
        raise click.exceptions.Exit(130) from None
    if args.json:
        print_json(asdict(report))
    else:
        print_report(report)


def _agreed(plan: ChangePlan, args: ChangeArgs, *, continues: bool) -> bool:
    """Print the plan; whether it is to be carried out."""
    if continues:
        click.echo(f"Continuing the change of {plan.names.collection} in {plan.names.target}.", err=True)
        return not args.dry_run
    if args.dry_run and args.json:
        print_json(plan.as_json())
        return False
    for line in plan.lines():
        click.echo(line, err=args.json)
    if not args.dry_run:
        confirm("Change the collection?", yes=args.yes)
    return not args.dry_run
