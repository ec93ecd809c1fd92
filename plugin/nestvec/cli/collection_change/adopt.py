"""``nestvec collection adopt``, and what ``show`` prints of encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

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


@dataclass(frozen=True)
class AdoptArgs:
    """The arguments of ``adopt``."""

    name: str
    milvus: MilvusArgs
    field: tuple[str, ...]
    sample: int
    seed: int
    models: Path
    json: bool


@click.command("adopt", cls=args_command(AdoptArgs))
@click.argument("name", shell_complete=complete_collections)
@milvus_options
@option_group(
    "Comparison",
    option(
        "--field",
        metavar="FIELD",
        multiple=True,
        show_default="all without a record",
        help="Vector field to record the encoder of; may be repeated.",
    ),
    option(
        "--sample",
        type=click.IntRange(1, 10_000),
        default=100,
        show_default=True,
        metavar="ROWS",
        help="Rows to embed again and compare.",
    ),
    option("--seed", type=int, default=0, show_default=True, help="Random seed of the sample."),
)
@models_option
@json_option
def adopt(args: AdoptArgs) -> None:
    """Record the encoder of a collection that has no record of it.

    The service embeds some rows again. If the vectors agree with the stored ones, the encoder's fingerprint
    is recorded, and another encoder is refused from then on; if not, the command says how many rows differ,
    and nothing is recorded. No row is changed.

    Milvus from 2.6.8 and before 3.0 names the fingerprint in its own requests afterwards. Milvus Lite and
    3.0 do not alter a Function: there, nestvec's commands and SQL compare, and Milvus's own requests do not.

    \b
    Example:
      nestvec collection adopt papers --uri papers.db
    """
    from nestvec.collections.adopt import adopt_fields
    from nestvec.milvus.catalog import read_table
    from nestvec.service.in_process import serve_in_process

    with args.milvus.open() as client:
        table = read_table(client, args.name)
        with serve_in_process(table.services, args.models):
            adoptions = adopt_fields(client, table, args.field, sample=args.sample, seed=args.seed)
    if args.json:
        print_json([{**asdict(adoption), "record": adoption.record.model_dump()} for adoption in adoptions])
    elif not adoptions:
        click.echo(f"Nothing to adopt: {args.name} records the encoder of each field.")
    else:
        print_table(
            ("column", "fingerprint", "precision", "rows", "measure", "lowest"),
            [
                (
                    adoption.column,
                    adoption.record.fingerprint,
                    adoption.record.precision,
                    adoption.rows,
                    adoption.measure,
                    None if adoption.agreement is None else f"{adoption.agreement:.4f}",
                )
                for adoption in adoptions
            ],
        )
        unguarded = [adoption.column for adoption in adoptions if not adoption.guarded]
        if unguarded:
            click.echo(
                f"This Milvus cannot alter Functions, so its own requests for {', '.join(unguarded)} are not "
                "checked; those of nestvec's commands and SQL are."
            )


def print_encoders(embeddings: Sequence[Mapping[str, Any]]) -> None:
    """A table of the fields' encoders, as they are recorded and as they are served."""
    rows = [
        (
            entry["column"],
            entry["fingerprint"],
            entry["precision"],
            entry["recorded"],
            entry["service_fingerprint"],
            entry["comparison"],
        )
        for entry in embeddings
    ]
    if rows:
        print_table(("column", "made by", "precision", "recorded", "service has", "encoder"), rows)
