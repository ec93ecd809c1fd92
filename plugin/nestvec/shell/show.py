"""Answers on standard output, in the form that is asked for; counts and times on standard error."""

from __future__ import annotations

import csv
import sys
from typing import Any, Final, Literal

import click
import orjson

from nestvec.sql.answer import StatementResult
from nestvec.terminal.tables import print_json, print_table

OutputFormat = Literal["table", "expanded", "json", "csv"]

_NUMBERS: Final = 3
"""How many of a vector's numbers a table shows."""


def print_result(answer: StatementResult, form: OutputFormat) -> None:
    """Print the rows of an answer; nothing for a statement that has none to give."""
    if answer.columns:
        _PRINTERS[form](answer)


def result_summary(answer: StatementResult) -> str:
    """How much there is, and how long it took: ``2 rows in 13 ms``, or ``DELETE 3 in 4 ms``."""
    took = f"in {answer.seconds * 1000:.0f} ms"
    if not answer.columns:
        return f"{answer.tag} {took}" if answer.seconds else answer.tag
    count = len(answer.rows)
    rows = "1 row" if count == 1 else f"{count:,} rows"
    return f"{rows if count else 'no rows'} {took}"


def cell(value: Any) -> Any:
    """A vector as its first numbers and how many there are; JSON and arrays as JSON; else as it is."""
    if isinstance(value, list) and len(value) > _NUMBERS and all(isinstance(one, float) for one in value):
        return f"[{', '.join(f'{one:.2f}' for one in value[:_NUMBERS])}, … {len(value)}]"
    return _json(value) if isinstance(value, (dict, list)) else value


def _table(answer: StatementResult) -> None:
    if answer.tag == "EXPLAIN":
        # A plan is a text of its own, whose indentation is its tree.
        click.echo("\n".join(str(row[0]) for row in answer.rows))
    elif answer.rows:
        print_table(answer.columns, [[cell(value) for value in row] for row in answer.rows])


def _expanded(answer: StatementResult) -> None:
    width = max(map(len, answer.columns))
    for number, row in enumerate(answer.rows, 1):
        click.echo(click.style(f"— row {number} ".ljust(width + 12, "—"), dim=True))
        for name, value in zip(answer.columns, row, strict=True):
            text = "" if value is None else str(cell(value))
            indented = text.replace("\n", "\n" + " " * (width + 3))
            click.echo(f"{name.ljust(width)} │ {indented}")


def _as_json(answer: StatementResult) -> None:
    print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])


def _as_csv(answer: StatementResult) -> None:
    """With a header; what CSV has no form for is JSON, NULL is nothing."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    for row in answer.rows:
        writer.writerow([_json(value) if isinstance(value, (dict, list, bool)) else value for value in row])
    sys.stdout.flush()


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=_bytes).decode()


def _bytes(value: object) -> str:
    """Bytes of a binary vector, in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError


_PRINTERS: Final = {"table": _table, "expanded": _expanded, "json": _as_json, "csv": _as_csv}
