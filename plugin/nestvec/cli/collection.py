"""``nestvec collection``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nestvec.cli import COMMANDS
from nestvec.cli.collection_change.adopt import adopt, print_encoders
from nestvec.cli.collection_change.commands import alter, embed, rollback
from nestvec.cli.collection_change.move import move
from nestvec.cli.collection_change.upgrade import upgrade
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
from nestvec.terminal.tables import print_json, print_table

if TYPE_CHECKING:
    from nestvec_schemas.spec.collection_spec import CollectionSpec


@click.group(short_help=COMMANDS["collection"].short_help)
def command() -> None:
    """Create, show, list, change or drop collections with nested vector fields.

    \b
    Example:
      nestvec collection create papers.yaml --uri papers.db
      nestvec collection show papers --uri papers.db
    """


@dataclass(frozen=True)
class CreateArgs:
    """The arguments of ``create``."""

    spec: Path
    milvus: MilvusArgs
    chunk: int | None
    models: Path


@dataclass(frozen=True)
class ShowArgs:
    """The arguments of ``show``."""

    name: str
    milvus: MilvusArgs
    json: bool


@dataclass(frozen=True)
class ListArgs:
    """The arguments of ``list``."""

    milvus: MilvusArgs
    json: bool


@dataclass(frozen=True)
class DropArgs:
    """The arguments of ``drop``."""

    name: str
    milvus: MilvusArgs
    yes: bool


@command.command(cls=args_command(CreateArgs))
@click.argument("spec", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@milvus_options
@option_group(
    "Requests",
    option(
        "--chunk",
        type=click.IntRange(1, 65_536),
        metavar="TEXTS",
        show_default="as many as the encoder embeds in time",
        help="Texts in each request of Milvus to the service; an insert has at most five times as many rows.",
    ),
)
@models_option
def create(args: CreateArgs) -> None:
    """Create the collection that SPEC, a YAML file, declares.

    An embedding has one vector field per dim, FIELD_DIM, which Milvus fills by calling the service.

    \b
      exit: LAYER    stop after this layer: FIELD_DIM_exitLAYER
      expert: NAME   use the encoder's weights of this name: FIELD_DIM_NAME
      prompt: NAME   put this prompt before documents and queries: FIELD_DIM_NAME
      query_prompt: NAME
                     put another before queries
      form: int8     store a quarter of the bytes: FIELD_DIM_int8
      form: binary   store a thirty-second of them: FIELD_DIM_binary
      form: sparse   for a sparse encoder, without dims: FIELD_sparse
      top: 64        keep the 64 largest weights: FIELD_sparse_top64
      name: NAME     with one dim, name the field
      provider: voyageai
                     of int8 fields, instead of Milvus's cohere

    int8 and binary need a Milvus server, 2.6 or later. nestvec ingest fills binary fields; nestvec ingest
    and SQL fill sparse ones, on Milvus Lite too. An embedding may also have a service, index, metric and
    params.

    Fields are BOOL, INT8 to INT64, FLOAT, DOUBLE, VARCHAR, TEXT, JSON or ARRAY; they may be nullable, have a
    default or be the partition_key. A VARCHAR with compose: "{title}. {brand}: {meta.color}" is filled
    from the row's other values (a clause without its value is omitted); with compose: flatten, from all
    of them.

    Under lexical:, {field: FIELD} adds FIELD_bm25, which Milvus fills for BM25. Under vectors:,
    {name: NAME, dim: DIM} adds a field that rows supply. The server's version says how many vector fields
    there may be: 4 before Milvus 2.6.18, then 10; max_vector_fields says what yours is configured for.

    Milvus sends as many texts in a request as the service embeds in time, at its measured speed. chunk in
    the spec, or --chunk, sets the number.

    \b
    Example: papers.yaml
      collection: papers
      service: http://127.0.0.1:8080
      fields:
        id:       {type: INT64, primary: true}
        abstract: {type: VARCHAR, max_length: 8192}
        year:     {type: INT32, nullable: true}
        tags:
          {type: ARRAY, element_type: VARCHAR, max_length: 64, max_capacity: 16}
      embeddings:
        - {field: abstract, encoder: minilm, dims: [64, 384]}
        - {field: abstract, encoder: minilm, dims: [128], index: HNSW, metric: IP}
        - {field: abstract, encoder: minilm, dims: [64], exit: 3, expert: biomed}

    \b
      nestvec collection create papers.yaml --uri papers.db
    """
    _create(args)


def _create(args: CreateArgs) -> None:
    from nestvec.collections import lifecycle
    from nestvec.service.in_process import serve_in_process

    collection_spec = read_spec(args.spec)
    if args.chunk is not None:
        collection_spec = collection_spec.model_copy(update={"chunk": args.chunk})
    with (
        args.milvus.open(create=True) as client,
        serve_in_process(collection_spec.services, args.models),
    ):
        table = lifecycle.create_collection(client, collection_spec)
    click.echo(
        f"Created {table.name}: {', '.join(column.name for column in table.columns if column.is_vector)}."
    )


@command.command(cls=args_command(ShowArgs))
@click.argument("name", shell_complete=complete_collections)
@milvus_options
@json_option
def show(args: ShowArgs) -> None:
    """Show a collection's columns, embeddings and encoders.

    \b
    Example:
      nestvec collection show papers --uri papers.db
    """
    from nestvec.collections import lifecycle
    from nestvec.collections.upgrade.record import read_status

    with args.milvus.open() as client:
        description = lifecycle.describe_collection(client, args.name, with_encoders=True)
        status = read_status(client, args.name)
    if args.json:
        print_json({**description, "upgrade": None if status is None else status.as_json()})
        return
    _print(description)
    if status is not None:
        click.echo(status.line())


@command.command("list", cls=args_command(ListArgs))
@milvus_options
@json_option
def list_(args: ListArgs) -> None:
    """List the collections in the database.

    \b
    Example:
      nestvec collection list --uri papers.db
    """
    from nestvec.collections import lifecycle

    with args.milvus.open() as client:
        names = lifecycle.collection_names(client)
    if args.json:
        print_json(names)
    else:
        for name in names:
            click.echo(name)


@command.command(cls=args_command(DropArgs))
@click.argument("name", shell_complete=complete_collections)
@milvus_options
@option_group("Other", option("--yes", is_flag=True, help="Do not ask for confirmation."))
def drop(args: DropArgs) -> None:
    """Drop a collection and all its rows. Asks for confirmation on a terminal; elsewhere, --yes is required.

    An interrupted change is dropped too; a collection kept by --keep-old is not.

    \b
    Example:
      nestvec collection drop papers --uri papers.db --yes
    """
    from nestvec.collections import lifecycle
    from nestvec.collections.change.interrupted import discard
    from nestvec.collections.change.rollback import kept_collection

    name = args.name
    if not args.yes and not sys.stdin.isatty():
        raise click.UsageError("Without a terminal, dropping a collection needs --yes.")
    with args.milvus.open() as client:
        if not args.yes:
            rows = lifecycle.describe_collection(client, name)["rows"]
            click.confirm(f"Drop {name} with {'its' if rows is None else rows} rows?", abort=True)
        discard(client, name)
        previous = kept_collection(client, name)
        lifecycle.drop_collection(client, name)
    click.echo(f"Dropped {name}." + (f" {previous}, kept by --keep-old, remains." if previous else ""))


command.add_command(adopt)
command.add_command(embed)
command.add_command(alter)
command.add_command(rollback)
command.add_command(upgrade)
command.add_command(move)


def read_spec(path: Path) -> CollectionSpec:
    """Read a file that declares a collection. Raises SpecError."""
    from nestvec_schemas.errors import SpecError
    from nestvec_schemas.spec.yaml_file import MAX_SPEC_BYTES, parse_spec

    try:
        with path.open("rb") as file:
            text = file.read(MAX_SPEC_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"{path} cannot be read as text", value=str(error), next_step="Write the spec as YAML, in UTF-8."
        ) from error
    return parse_spec(text, path=str(path))


def _print(description: dict[str, Any]) -> None:
    count = description["rows"]
    rows = "not loaded" if count is None else "1 row" if count == 1 else f"{count:,} rows"
    comment = f": {description['description']}" if description["description"] else ""
    dynamic = ", dynamic fields" if description["dynamic"] else ""
    click.echo(f"{description['collection']}{comment} ({rows}{dynamic})")
    print_table(
        ("column", "type", "key", "null"),
        [(entry["name"], _type(entry), entry["key"], _null(entry)) for entry in description["columns"]],
    )
    for entry in description["columns"]:
        if entry["compose"] is not None:
            click.echo(f"{entry['name']} is composed: {entry['compose']}")
    if not description["embeddings"]:
        return
    columns: tuple[str, ...] = (
        "column",
        "source",
        "encoder",
        "dim",
        "exit",
        "expert",
        "form",
        "top",
        "bytes",
        "index",
        "metric",
        "service",
    )
    prompts = ("prompt", "query_prompt")
    named = any(entry[key] is not None for entry in description["embeddings"] for key in prompts)
    columns = (*columns[:6], *prompts, *columns[6:]) if named else columns
    keys = tuple("bytes_per_row" if entry == "bytes" else entry for entry in columns)
    print_table(columns, [[entry[key] for key in keys] for entry in description["embeddings"]])
    print_encoders(description["embeddings"])


def _type(column: dict[str, Any]) -> str:
    size = column["max_length"] or column["dim"]
    return f"{column['type']}({size})" if size else str(column["type"])


def _null(column: dict[str, Any]) -> str | None:
    words = [word for key, word in (("nullable", "yes"), ("has_default", "default")) if column[key]]
    return ", ".join(words) or None
