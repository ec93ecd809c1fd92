"""``nestvec sql``."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import json_option, models_option, store_options

if TYPE_CHECKING:
    from nestvec.sql import Answer

_WIDTH = 100
_LEAST = 12
_NUMBER = 8
_NUMBERS = 3
"""In characters: a table that is not on a terminal, the narrowest text, a number; then a vector's numbers."""


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
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
        cells = [[_cell(value) for value in row] for row in answer.rows]
        print_table(answer.columns, _fitted(answer.columns, cells, width))


def _cell(value: Any) -> Any:
    """A value on one line: a text without line ends, the first numbers of a vector and how many there are."""
    if isinstance(value, list) and len(value) > _NUMBERS and all(isinstance(one, float) for one in value):
        return f"[{', '.join(f'{one:.2f}' for one in value[:_NUMBERS])}, … {len(value)}]"
    if isinstance(value, (list, dict)):
        value = str(value)
    return " ".join(value.split()) if isinstance(value, str) else value


def _fitted(columns: Sequence[str], cells: list[list[Any]], width: int) -> list[list[Any]]:
    """Cut the longest texts until the table is as wide as ``width``, in characters."""
    widths = [
        max(len(name), *(len(row[at]) if isinstance(row[at], str) else _NUMBER for row in cells))
        for at, name in enumerate(columns)
    ]
    texts = [at for at in range(len(columns)) if any(isinstance(row[at], str) for row in cells)]
    while texts and (excess := sum(widths) + 3 * len(widths) + 1 - width) > 0:
        longest = max(texts, key=lambda at: widths[at])
        if widths[longest] <= _LEAST:
            break
        others = [widths[at] for at in texts if at != longest]
        widths[longest] = max(
            _LEAST, widths[longest] - excess, min(max(others, default=0), widths[longest] - 1)
        )
    return [[_cut(value, widths[at]) for at, value in enumerate(row)] for row in cells]


def _cut(value: Any, width: int) -> Any:
    return f"{value[: width - 1]}…" if isinstance(value, str) and len(value) > width else value
