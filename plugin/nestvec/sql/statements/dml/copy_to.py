"""COPY … TO 'file': the rows of a table or a query as CSV, TSV, JSON, JSON Lines or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TextIO
from uuid import UUID, uuid4

import orjson
from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.bind.params import PARAMETER_NODES, Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.copy_options import WITHOUT_FORMAT, CopyOptions, parse_options
from nestvec.sql.statements.select import select_rows
from nestvec.sql.statements.tables import plain_table
from nestvec_schemas.errors import FileUnreadable

_Writer = Callable[[Path, CopyOptions, StatementResult], None]

_OPTIONS: Final = ("FORMAT", "HEADER", "DELIMITER", "NULL")
_WRITE: Final = "Write COPY t TO 'file.csv', or COPY (SELECT …) TO 'file.parquet'."
_FORMATS: Final[Mapping[str, str]] = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
    ".parquet": "parquet",
}  # fmt: skip


def run_copy_to(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """COPY TO. The file is complete when it appears: it is written beside and renamed.

    COPY FROM reads it back. Raises SqlError, StoreError, ServiceError.
    """
    source, tree = parsed.source, parsed.tree
    if len(tree.args["files"]) != 1:
        raise source.syntax_error("COPY writes one file", tree.this, _WRITE)
    query = yield from _query(session, source, tree)
    file = tree.args["files"][0]
    scope = Scope(source, Table("", ()), "", params)
    name = scope.constant(file) if isinstance(file, (exp.Literal, *PARAMETER_NODES)) else None
    if not isinstance(name, str):
        raise source.not_supported("COPY to anything but a file", file, _WRITE)
    for option in tree.args.get("params") or ():
        if (word := str(option.this.name).upper()) not in _OPTIONS:
            instead = f"Available: {', '.join(_OPTIONS)}."
            raise source.not_supported(f"{word} in COPY TO", option, WITHOUT_FORMAT.get(word, instead))
    options = parse_options(scope, tree.args.get("params") or ())
    format_ = str(options.format or _FORMATS.get(Path(name).suffix.lower(), ""))
    if format_ not in _WRITERS:
        raise source.type_mismatch(
            "the name of the file does not say its format",
            name,
            file,
            f"Add WITH (FORMAT csv); available: {', '.join(_WRITERS)}.",
        )
    result = yield from select_rows(session, source, query, params)
    try:
        yield BlockingCall(_writing(Path(name), format_, options, result))
    except FileUnreadable as error:
        raise source.type_mismatch(error.cause, error.value, file, error.next_step) from error
    return StatementResult(tag=f"COPY {len(result.rows)}", count=len(result.rows), seconds=result.seconds)


def _query(session: Session, source: SourceText, tree: exp.Expr) -> Steps[exp.Expr]:
    """The query whose rows are written; that of a table names its columns."""
    if isinstance(tree.this, exp.Subquery):
        return tree.this.unnest()
    node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    plain_table(source, node)
    table = yield from session.table(source, node)
    hidden = {lexical.column for lexical in table.lexical}
    names = [column.name for column in table.columns if column.name not in hidden]
    if isinstance(tree.this, exp.Schema):
        names = [identifier_name(name) for name in tree.this.expressions]
    columns = [exp.column(exp.to_identifier(name, quoted=True)) for name in names]
    select = exp.Select(expressions=columns)
    select.set("from_", exp.From(this=node.copy()))
    return select


def _writing(
    path: Path, format_: str, options: CopyOptions, result: StatementResult
) -> Callable[[MilvusClient], None]:
    return lambda client: write_rows(path, format_, options, result)


def write_rows(path: Path, format_: str, options: CopyOptions, result: StatementResult) -> None:
    """Write the rows of a result into a file. Raises FileUnreadable if it cannot be written."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        _WRITERS[format_](temporary, options, result)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise FileUnreadable(
            "the file cannot be written",
            value=str(path),
            next_step=f"{error.strerror or error}: choose another path.",
        ) from error


def _write_delimited(default: str) -> _Writer:
    def write(path: Path, options: CopyOptions, result: StatementResult) -> None:
        delimiter = options.cells.delimiter or default
        null = next(iter(options.cells.nulls), "")
        with path.open("x", encoding="utf-8", newline="") as file:
            if options.header != "false":
                write_csv_line(file, delimiter, null, result.columns)
            for row in result.rows:
                write_csv_line(file, delimiter, null, [csv_text(value) for value in row])

    return write


_LINE_END: Final = "\r\n"


def write_csv_line(file: TextIO, delimiter: str, null: str, cells: Sequence[str | None]) -> None:
    """One line; NULL is not quoted, and a text that reads as NULL is, as PostgreSQL writes them."""
    parts = []
    for cell in cells:
        if cell is None:
            parts.append(null)
            continue
        buffer = io.StringIO()
        # Line ends in a text are quoted if the writer's own has them.
        writer = csv.writer(
            buffer,
            delimiter=delimiter,
            lineterminator=_LINE_END,
            quoting=csv.QUOTE_ALL if cell == null else csv.QUOTE_MINIMAL,
        )
        writer.writerow([cell])
        parts.append(buffer.getvalue().removesuffix(_LINE_END))
    file.write(delimiter.join(parts) + "\n")


def csv_text(value: Any) -> str | None:
    """A value in a cell: lists and objects as JSON, bytes as hexadecimal, dates as in ISO 8601."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, (list, tuple, dict)):
        return orjson.dumps(value, default=json_default, option=orjson.OPT_NON_STR_KEYS).decode()
    return str(json_default(value)) if isinstance(value, _TEXTUAL) else str(value)


_TEXTUAL: Final = (date, time, bytes, UUID)


def json_default(value: Any) -> Any:
    """A value that JSON does not have, as a text that COPY FROM reads; a NUMERIC as a number."""
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(f"{value:f}")
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return str(value)


def _json_rows(result: StatementResult) -> list[bytes]:
    # The digits of a NUMERIC are kept, and COPY FROM reads them all.
    option = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    return [orjson.dumps(record, default=json_default, option=option) for record in result.records()]


def _write_jsonl(path: Path, options: CopyOptions, result: StatementResult) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in _json_rows(result)))


def _write_json(path: Path, options: CopyOptions, result: StatementResult) -> None:
    path.write_bytes(b"[" + b",\n".join(_json_rows(result)) + b"]\n")


def _write_parquet(path: Path, options: CopyOptions, result: StatementResult) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415

    from nestvec.sql.arrow_result import arrow_table  # noqa: PLC0415

    pq.write_table(arrow_table(result.columns, result.types, result.rows), path)


_WRITERS: Final[Mapping[str, _Writer]] = {
    "csv": _write_delimited(","),
    "tsv": _write_delimited("\t"),
    "json": _write_json,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
