"""``nestvec collection move``."""

from __future__ import annotations

from dataclasses import dataclass

import click

from nestvec.cli.collection_change.options import confirm
from nestvec.cli.completion import complete_collections
from nestvec.cli.options import MilvusArgs, args_command, milvus_options, option, option_group


@dataclass(frozen=True)
class MoveArgs:
    """The arguments of ``move``."""

    name: str
    service: str
    old: str | None
    milvus: MilvusArgs
    yes: bool


@click.command("move", cls=args_command(MoveArgs))
@click.argument("name", shell_complete=complete_collections)
@option_group(
    "Service",
    option(
        "--service", required=True, metavar="URL", help="New address of the service, as Milvus reaches it."
    ),
    option(
        "--from",
        "old",
        metavar="URL",
        show_default="the only one that the fields have",
        help="Its address before.",
    ),
)
@milvus_options
@option_group("Other", option("--yes", is_flag=True, help="Do not ask for confirmation."))
def move(args: MoveArgs) -> None:
    """Change the address of the service that embeds NAME.

    The service must respond there with the encoders that are recorded. Milvus 2.6 from 2.6.8 alters the
    address in its Functions, and no row changes. Milvus Lite, older versions and 3.0 do not: there, let the
    service answer at its old address, or embed the rows again (nestvec collection alter). A host name of its
    own, which can be moved instead, is best.

    \b
    Example:
      nestvec collection move papers --service http://embed:8080 \\
        --uri http://milvus:19530
    """
    from nestvec.client.service_key import base_url
    from nestvec.collections.change.interrupted import check_unfinished
    from nestvec.collections.change.switch import existing_names
    from nestvec.collections.moving import check_movable, columns_to_move, move_service
    from nestvec.milvus.catalog import read_table
    from nestvec.milvus.server_version import read_version
    from nestvec.service.in_process import check_moved

    address = base_url(args.service)
    with args.milvus.open() as client:
        table = read_table(client, args.name)
        columns = columns_to_move(table, address, args.old)
        if not columns:
            click.echo(f"{args.name} is embedded by {address} already.")
            return
        # The collection that a change fills has the address of before.
        check_unfinished(client, args.name, existing_names(client))
        check_movable(table, columns, read_version(client))
        check_moved(table, columns, address)
        names = ", ".join(column.column for column in columns)
        confirm(f"Have {names} of {args.name} embedded by {address}?", yes=args.yes)
        move_service(client, table, columns, address)
    click.echo(f"{names} of {args.name}: embedded by {address}.")
    clusters = sorted({column.endpoint.caller for column in columns} & {"cohere", "voyageai"})
    for provider in clusters:
        click.echo(f"Milvus has one address for its {provider} provider: change it in milvus.yaml too.")
