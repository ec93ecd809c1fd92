"""COPY … FROM 'file' [WITH (FORMAT csv | jsonl | parquet)]"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.ingest import IngestOptions, IngestReport, ingest
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.bind.params import PARAMETER_NODES, Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.tables import plain_table
from nestvec_schemas.errors import FileUnreadable, nearest

_WRITE = "Write COPY t FROM 'file.jsonl', and WITH (FORMAT csv) if the file name does not show the format."
_FORMATS: Final = ("jsonl", "csv", "parquet")


def run_copy(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """COPY FROM. As with ``nestvec ingest``, the same statement continues where it was interrupted.

    The tag has the number of rows inserted, and of rows rejected with the file that they are in.
    Raises SqlError, IngestError, StoreError, ServiceError.
    """
    source, tree = parsed.source, parsed.tree
    node = _table(source, tree)
    check_consumed(source, tree)
    session.forget(str(node.name), str(node.name).lower())
    table = yield from session.table(source, node)
    scope = Scope(source, table, table.name, params)
    file = tree.args["files"][0]
    name = scope.constant(file) if isinstance(file, (exp.Literal, *PARAMETER_NODES)) else None
    if not isinstance(name, str):
        raise source.not_supported("COPY from anything but a file", file, _WRITE)
    kind = _parse_format(source, tree.args.get("params") or ())
    yield from session.ensure_served(table.services)
    yield from session.ensure_loaded(table.name)

    def run(client: MilvusClient) -> IngestReport:
        options = IngestOptions(_journal_target(client), kind=kind, on_error=session.settings.on_error)
        return ingest(client, table, Path(name), options)

    try:
        report: IngestReport = yield BlockingCall(run)
    except FileUnreadable as error:
        raise source.type_mismatch(error.cause, error.value, file, error.next_step) from error
    rejected = f" ({report.rejected:,} rejected, in {report.rejects})" if report.rejected else ""
    return StatementResult(
        tag=f"COPY {report.inserted}{rejected}", count=report.inserted, seconds=report.seconds
    )


def _table(source: SourceText, tree: exp.Expr) -> exp.Table:
    for part in stray_parts(tree, ("this", "kind", "files", "params", "credentials")):
        raise source.not_supported(f"{part.upper()} in COPY", 0, _WRITE)
    if not tree.args.get("kind"):
        raise source.not_supported("COPY TO", 0, "Use SELECT, and write the rows to a file yourself.")
    if not isinstance(tree.this, exp.Table):
        raise source.not_supported("columns in COPY", tree.this, "Omit them: the file names its columns.")
    plain_table(source, tree.this)
    if len(tree.args["files"]) != 1:
        raise source.syntax_error("COPY reads one file", tree.this, _WRITE)
    return tree.this


def _parse_format(source: SourceText, options: Sequence[exp.Expr]) -> str | None:
    format_name = None
    for option in options:
        name = str(option.this.name).upper()
        value = option.args.get("expression")
        if name == "HEADER" and value is None:
            continue  # A CSV is always read with its header.
        if name != "FORMAT" or value is None:
            raise source.not_supported(f"{name} in COPY", option, _WRITE)
        format_name = str(value.name).lower()
        if format_name not in _FORMATS:
            raise source.unknown_name(
                "unknown format",
                format_name,
                value,
                f"Available: {', '.join(_FORMATS)}.{nearest(format_name, _FORMATS)}",
            )
    return format_name


def _journal_target(client: MilvusClient) -> str:
    """The database, as the journal of ``nestvec ingest`` names it."""
    config = getattr(client, "_config", None)
    uri, database = str(getattr(config, "uri", "")), str(getattr(config, "db_name", "") or "")
    place = str(Path(uri).resolve()) if uri.endswith(".db") else uri.rstrip("/")
    return f"{place}#{database}" if database else place
