"""``nestvec sql``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import json_option, models_option, store_options

if TYPE_CHECKING:
    from nestvec.sql import Answer

_NUMBERS = 3
"""How many of a vector's numbers a table shows."""


@click.command("sql", short_help=COMMANDS["sql"].short_help)
@click.argument("statement")
@store_options
@models_option
@json_option
@click.option("--timing", is_flag=True, help="Say on standard error how long each step took.")
def command(
    statement: str, uri: str, token: str, database: str, models: Path, as_json: bool, timing: bool
) -> None:
    """Run one SELECT; STATEMENT is the SQL, or - to read it from standard input.

    PostgreSQL's grammar with pgvector's operators: <=> (cosine distance), <-> (Euclidean distance),
    <#> (negative inner product). A text on the right of one is embedded by the server. WHERE compares
    columns with constants. * is every column, vectors too; tables show the start of a vector.

    \b
    Example:
      nestvec sql --uri demo.db "SELECT name, 1 - (doc_64 <=> 'read rows from a file') AS score
        FROM pydoc WHERE module = 'csv' ORDER BY score DESC LIMIT 5"
    """
    from nestvec.embedded import running
    from nestvec.milvus import connect
    from nestvec.sql import prepare, run_plan
    from nestvec.sql.parse import MAX_BYTES

    if statement == "-":
        # What is no UTF-8 reaches the parser as such, and is refused there.
        statement = sys.stdin.buffer.read(MAX_BYTES + 1).decode("utf-8", "surrogateescape")
    with connect(uri, token=token, database=database, create=False) as client:
        started = time.perf_counter()
        plan = prepare(client, statement)
        planned = time.perf_counter() - started
        with running(plan.services, models):
            answer = run_plan(client, plan)
    _show(answer, as_json)
    count = len(answer.rows)
    if timing:
        click.echo(f"read and planned in {planned * 1000:.1f} ms", err=True)
    if timing or not as_json:
        rows = "1 row" if count == 1 else f"{count:,} rows"
        click.echo(f"{rows if count else 'no rows'} in {answer.seconds * 1000:.0f} ms", err=True)


def _show(answer: Answer, as_json: bool) -> None:
    from nestvec.cli.output import print_json, print_table

    if as_json:
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    elif answer.rows:
        print_table(answer.columns, [[_cell(value) for value in row] for row in answer.rows])


def _cell(value: Any) -> Any:
    """A vector as its first numbers and how many there are; anything else as it is."""
    if isinstance(value, list) and len(value) > _NUMBERS and all(isinstance(one, float) for one in value):
        return f"[{', '.join(f'{one:.2f}' for one in value[:_NUMBERS])}, … {len(value)}]"
    return value
