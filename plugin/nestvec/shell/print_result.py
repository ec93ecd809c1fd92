"""Results on standard output as tables, JSON or CSV; counts and times on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal

import click
import orjson

from nestvec.shell.psql_tables import PrintOptions, ResultTexts, aligned_text, unaligned_text
from nestvec.shell.value_texts import value_text
from nestvec.sql.result import StatementResult
from nestvec.sql.statements.dml.copy_to import csv_text, json_default, write_csv_line
from nestvec.terminal.tables import Expanded, TextTable, is_numeric, print_json, print_text_table
from nestvec.terminal.values import escape_control_characters, shortest, shortest_float32

OutputFormat = Literal["table", "aligned", "unaligned", "json", "csv"]

NULL: Final = "NULL"
"""How tables print a missing value, dimmed on a terminal; an empty string prints as nothing."""

_SHOWN_NUMBERS: Final = 3
"""Numbers of a vector that a table shows."""

_NUMBER_TYPES: Final = frozenset(
    {"INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "DECIMAL", "NUMERIC", "INTEGER", "SMALLINT"}
)
_DEFAULTS: Final = PrintOptions()


def print_result(
    result: StatementResult,
    output_format: OutputFormat,
    expanded: Expanded = "auto",
    options: PrintOptions = _DEFAULTS,
) -> None:
    """Print the rows of a result; nothing if it has no columns."""
    if not result.columns:
        return
    if output_format == "json":
        print_json(result.records(), default=json_default)
    elif output_format == "csv":
        _print_csv(result, options)
    elif result.tag == "EXPLAIN":
        # A plan is text, whose indentation shows its tree.
        click.echo("\n".join(str(row[0]) for row in result.rows))
    elif output_format == "aligned":
        click.echo(aligned_text(_result_texts(result, options), options, expanded == "on"), nl=False)
    elif output_format == "unaligned" or options.tuples_only:
        click.echo(unaligned_text(_result_texts(result, options), options, expanded == "on"), nl=False)
    elif result.rows:
        left_out = print_text_table(_text_table(result, options), expanded, options.title or None)
        if left_out:
            click.echo(f"Empty columns are not shown: {', '.join(left_out)}.", err=True)


def result_summary(result: StatementResult) -> str:
    """The number of rows and the time they took: ``2 rows in 13 ms``, or ``DELETE 3 in 4 ms``."""
    duration = f"in {result.seconds * 1000:.0f} ms"
    if not result.columns:
        return f"{result.tag} {duration}" if result.seconds else result.tag
    count = len(result.rows)
    rows = "1 row" if count == 1 else f"{count:,} rows"
    return f"{rows if count else 'no rows'} {duration}"


def cell(value: Any, type_: str = "ANY") -> str | None:
    """A value as a table shows it, as PostgreSQL prints it; None for NULL.

    Only the first numbers of a vector are shown; JSON values and arrays are printed as JSON.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, float):
        return shortest_float32(value) if type_ == "FLOAT" else shortest(value)
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value:f}"
    if isinstance(value, list) and len(value) > _SHOWN_NUMBERS and all(isinstance(x, float) for x in value):
        numbers = ", ".join(f"{number:.3g}" for number in value[:_SHOWN_NUMBERS])
        return f"[{numbers}, … {len(value)} dims]"
    if type_ == "SPARSE_FLOAT_VECTOR" and isinstance(value, Mapping) and len(value) > _SHOWN_NUMBERS:
        weights = ", ".join(f"{index}: {weight:.3g}" for index, weight in _largest(value))
        return f"{{{weights}, … {len(value)} weights}}"
    return escape_control_characters(_json(value) if isinstance(value, (dict, list)) else str(value))


def _largest(weights: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return sorted(weights.items(), key=lambda item: -item[1])[:_SHOWN_NUMBERS]


def _text_table(result: StatementResult, options: PrintOptions) -> TextTable:
    return TextTable(
        tuple(escape_control_characters(name).replace("\n", "\\n") for name in result.columns),
        tuple(
            tuple(cell(value, type_) for value, type_ in zip(row, result.types, strict=True))
            for row in result.rows
        ),
        numeric=_numeric_columns(result),
        null=NULL if options.null is None else options.null,
    )


def _numeric_columns(result: StatementResult) -> tuple[bool, ...]:
    columns = list(zip(*result.rows, strict=True)) or [()] * len(result.columns)
    return tuple(
        type_.partition("(")[0] in _NUMBER_TYPES or (type_ == "ANY" and is_numeric(values))
        for values, type_ in zip(columns, result.types, strict=True)
    )


def _result_texts(result: StatementResult, options: PrintOptions) -> ResultTexts:
    null = options.null or ""
    elements = [_element_type(result, at) for at in range(len(result.columns))]
    rows = []
    for row in result.rows:
        texts = map(value_text, row, result.types, elements)
        rows.append(tuple(null if text is None else text for text in texts))
    return ResultTexts(result.columns, tuple(rows), _numeric_columns(result))


def _element_type(result: StatementResult, at: int) -> str:
    """The type of the elements of an array."""
    if result.names.get(at) == "_float4":
        return "FLOAT"
    return "JSON" if result.names.get(at) in ("_json", "_jsonb") else result.elements.get(at, "ANY")


def _print_csv(result: StatementResult, options: PrintOptions) -> None:
    """As COPY TO writes it: NULL is an empty field, and an empty text is two quotes."""
    null = options.null or ""
    if not options.tuples_only:
        write_csv_line(sys.stdout, ",", null, result.columns)
    for row in result.rows:
        write_csv_line(sys.stdout, ",", null, [csv_text(value) for value in row])
    sys.stdout.flush()


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=json_default).decode()
