"""COPY table [(column, …)] FROM 'file' [WITH (option, …)]; COPY TO has its own file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.ingest import DeliveryOptions, IngestOptions, IngestReport, ingest
from nestvec.ingest.finished import FinishedIngest
from nestvec.ingest.row_schema import row_schema
from nestvec.ingest.target import client_target
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.bind.params import PARAMETER_NODES, Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.copy_options import parse_options
from nestvec.sql.statements.dml.copy_to import run_copy_to
from nestvec.sql.statements.dml.defaults import file_defaults
from nestvec.sql.statements.tables import plain_table
from nestvec_schemas.errors import FileUnreadable, JournalMismatch, nearest

_WRITE = "Write COPY t FROM 'file.jsonl', and WITH (FORMAT csv) if the file name does not show the format."


def run_copy(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """COPY FROM. As with ``nestvec ingest``, the same statement continues where it was interrupted.

    A service or a Milvus that does not respond is waited for, as ``nestvec.retry_seconds`` says. The tag has
    the number of rows inserted, and of rows rejected with the file that they are in, and says if the rows of
    this file were stored before under keys that Milvus generates.
    Raises SqlError, IngestError, StoreError, ServiceError.
    """
    source, tree = parsed.source, parsed.tree
    if not session.caller.files:
        raise source.not_supported(
            "COPY with a file of the server", 0, "Write COPY t FROM STDIN, or COPY t TO STDOUT."
        )
    if not tree.args.get("kind"):
        return (yield from run_copy_to(session, parsed, params))
    if session.settings.partitions:
        raise source.not_supported(
            "COPY FROM a file into selected partitions", 0, "RESET nestvec.partitions, or use INSERT."
        )
    return (yield from _copy_from(session, parsed, params))


def _copy_from(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    source, tree = parsed.source, parsed.tree
    node = _table(source, tree)
    check_consumed(source, tree)
    session.forget(str(node.name), str(node.name).lower())
    table = yield from session.table(source, node)
    scope = Scope(source, table, table.name, params)
    file = tree.args["files"][0]
    name = _file_name(scope, file)
    options = parse_options(scope, tree.args.get("params") or ())
    selected = _selected(source, tree, table)
    yield from session.ensure_served(table.services, session.patience())
    yield from session.ensure_loaded(table.name)

    earlier = list[FinishedIngest]()

    def note_earlier(finished: FinishedIngest) -> bool:
        earlier.append(finished)
        return True

    def run(client: MilvusClient) -> IngestReport:
        columns = replace(options.columns(selected), defaults=file_defaults(table))
        settings = IngestOptions(
            client_target(client),
            rejects=options.rejects,
            kind=options.format,
            restart=options.restart,
            on_error=session.settings.on_error,
            reading=options.reading(table, selected),
            columns=columns,
            delivery=DeliveryOptions(retry_seconds=session.settings.retry_seconds, waiting=session.waiting),
            again=note_earlier,
        )
        options.check_header(Path(name), settings, table, selected)
        return ingest(client, table, Path(name), settings)

    try:
        report: IngestReport = yield BlockingCall(run)
    except JournalMismatch as error:
        step = error.next_step.replace("with --restart", "with the option RESTART")
        raise error.reworded(next_step=step) from error
    except FileUnreadable as error:
        raise source.type_mismatch(error.cause, error.value, file, error.next_step) from error
    for notice in _notices(name, report):
        session.notices.note(notice)
    return _result(report, earlier[0] if earlier else None)


def _result(report: IngestReport, earlier: FinishedIngest | None) -> StatementResult:
    rejected = f" ({report.rejected:,} rejected, in {report.rejects})" if report.rejected else ""
    again = f" (a second time: {earlier.rows:,} were stored on {earlier.day})" if earlier else ""
    return StatementResult(
        tag=f"COPY {report.inserted}{rejected}{again}",
        count=report.inserted,
        rejected=report.rejected,
        seconds=report.seconds,
    )


def _notices(name: str, report: IngestReport) -> Iterator[str]:
    """What ``nestvec ingest`` reports of the rows of a file beside their number."""
    for warning in report.warnings:
        yield f"{name}: {warning}"
    if report.replaced:
        yield f"{name}: later rows with the same keys replaced {report.replaced:,} of its rows"


def _file_name(scope: Scope, file: exp.Expr) -> str:
    if isinstance(file, exp.Var) and file.name.upper() == "STDIN":
        raise scope.source.not_supported(
            "COPY FROM STDIN outside of PostgreSQL's protocol", file,
            "Write FROM '-' WITH (FORMAT csv) for standard input.",
        )  # fmt: skip
    name = scope.constant(file) if isinstance(file, (exp.Literal, *PARAMETER_NODES)) else None
    if not isinstance(name, str):
        raise scope.source.not_supported("COPY from anything but a file", file, _WRITE)
    return name


def _table(source: SourceText, tree: exp.Expr) -> exp.Table:
    for part in stray_parts(tree, ("this", "kind", "files", "params", "credentials")):
        raise source.not_supported(f"{part.upper()} in COPY", 0, _WRITE)
    node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(node, exp.Table):
        raise source.not_supported("COPY into anything but a table", tree.this, _WRITE)
    plain_table(source, node)
    if len(tree.args["files"]) != 1:
        raise source.syntax_error("COPY reads one file", tree.this, _WRITE)
    return node


def _selected(source: SourceText, tree: exp.Expr, table: Table) -> tuple[str, ...] | None:
    """The columns in parentheses after the table's name. Raises SqlError."""
    if not isinstance(tree.this, exp.Schema):
        return None
    expected, names = [column.name for column in row_schema(table).expected], list[str]()
    for node in tree.this.expressions:
        if not isinstance(node, exp.Identifier):
            raise source.not_supported("anything but names of columns here", node, _WRITE)
        name = next((name for name in (identifier_name(node), str(node.this)) if name in expected), None)
        if name is None:
            raise source.unknown_name(
                f"{table.name} has no such column to fill",
                str(node.this),
                node,
                f"Available: {', '.join(expected)}.{nearest(str(node.this), expected)}",
            )
        if name in names:
            raise source.syntax_error("this column occurs twice", node, "Name every column once.")
        names.append(name)
    return tuple(names)
