"""Runs COPY between a client and Milvus, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from nestvec.dbapi.batch import execute_many
from nestvec.ingest.row_schema import row_schema
from nestvec.milvus.catalog import Table
from nestvec.pgwire.copying.columns import folded_names, forced_positions
from nestvec.pgwire.copying.formats import Values, copy_reader, write_header, write_row, write_trailer
from nestvec.pgwire.copying.syntax import CopyStatement, parse_copy
from nestvec.pgwire.errors import PgError, protocol_violation, to_pg_error
from nestvec.pgwire.outcome import StatementOutcome
from nestvec.pgwire.protocol import responses
from nestvec.pgwire.protocol.messages import BareMessage, CopyDataMessage, CopyFailMessage
from nestvec.pgwire.protocol.stream import MessageStream
from nestvec.pgwire.runner import StatementRunner
from nestvec.pgwire.statement import Statement
from nestvec.pgwire.types.decode import Decoder, decoder
from nestvec.pgwire.types.encode import encoder
from nestvec.sql.analysis.column_types import column_oid
from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import NestvecError

_BATCH_ROWS: Final = 1_000
_BATCH_BYTES: Final = 4 << 20
_CHUNK_BYTES: Final = 64 << 10


class CopyRunner:
    """COPY of one connection."""

    def __init__(self, stream: MessageStream, runner: StatementRunner) -> None:
        self._stream, self._runner = stream, runner

    async def run(self, statement: Statement) -> str:
        """Run a COPY that reads from the client or writes to it; the tag. Raises PgError, ClientGone."""
        self._runner.block.check()
        self._runner.check_writable(statement)
        copy = parse_copy(statement.sql)
        try:
            if copy.from_client:
                return f"COPY {await self._read(copy, statement.offset)}"
            return f"COPY {await self._write(copy, statement.offset)}"
        except NestvecError as error:
            raise to_pg_error(error) from error

    async def _read(self, copy: CopyStatement, offset: int) -> int:
        table = await self._table(copy, offset)
        names = _names(copy, table)
        decoders = _decoders(names, table, copy.options.format == "binary")
        columns = ", ".join(_quoted(name) for name in names)
        values = ", ".join(f"${number}" for number in range(1, len(names) + 1))
        insert = f"INSERT INTO {copy.table} ({columns}) VALUES ({values})"  # noqa: S608 - names of columns
        binary = copy.options.format == "binary"
        reader = copy_reader(copy.options, names)
        self._stream.write(responses.copy_response(b"G", binary, len(names)))
        await self._stream.drain()
        batch = _Batch(self._runner, insert, decoders)
        while True:
            message = await self._stream.read()
            if isinstance(message, CopyDataMessage):
                for row in reader.feed(message.data):
                    await batch.add(row)
            elif message == BareMessage("c"):
                for row in reader.finish():
                    await batch.add(row)
                await batch.flush()
                return batch.stored
            elif isinstance(message, CopyFailMessage):
                raise PgError(
                    "57014", f"COPY from stdin failed: {message.reason[:200]}", detail=batch.state()
                )
            elif message not in (BareMessage("H"), BareMessage("S")):
                raise protocol_violation("unexpected message during COPY from stdin")

    async def _write(self, copy: CopyStatement, offset: int) -> int:
        options, query = copy.options, Statement(copy.query, offset + copy.query_offset)
        if not query.sql:
            table = await self._table(copy, offset)
            columns = ", ".join(copy.columns or [_quoted(name) for name in _names(copy, table)])
            query = Statement(f"SELECT {columns} FROM {copy.table}", offset)  # noqa: S608 - names of columns
        outcome: StatementOutcome = await self._runner.run(query)
        binary = options.format == "binary"
        encoders = [encoder(field.oid, binary) for field in outcome.fields]
        names = [field.name for field in outcome.fields]
        quoted = forced_positions(options.forced.quote, names)
        self._stream.write(responses.copy_response(b"H", binary, len(names)))
        head = write_header(names, options)
        # In binary, clients expect the header in one message with the first row, or with the trailer.
        binary_head, text_head = (head, b"") if binary else (b"", head)
        chunk, size = [responses.copy_data(text_head)] if text_head else [], 0
        for row in outcome.rows:
            values = [
                None if value is None else encode(value) for encode, value in zip(encoders, row, strict=True)
            ]
            data, binary_head = responses.copy_data(binary_head + write_row(values, options, quoted)), b""
            chunk.append(data)
            size += len(data)
            if size >= _CHUNK_BYTES:
                self._stream.write(b"".join(chunk))
                await self._stream.drain()
                chunk, size = [], 0
        trailer = binary_head + write_trailer(options)
        chunk += [responses.copy_data(trailer)] if trailer else []
        self._stream.write(b"".join((*chunk, responses.COPY_DONE)))
        return len(outcome.rows)

    async def _table(self, copy: CopyStatement, offset: int) -> Table:
        """The collection of a COPY. Raises PgError."""
        session = self._runner.session
        try:
            parsed = parse(f"COPY {copy.table} TO 'file'")
            name = str(parsed.tree.this.name)
            session.forget(name, name.lower())
            table: Table = await self._runner.drive(session.table(parsed.source, parsed.tree.this))
        except NestvecError as error:
            raise to_pg_error(error, offset + copy.table_offset - len("COPY ")) from error
        return table


class _Batch:
    """Rows that are inserted together."""

    def __init__(self, runner: StatementRunner, insert: str, decoders: Sequence[Decoder]) -> None:
        self._runner, self._insert, self._decoders = runner, insert, decoders
        self._rows, self._bytes, self._line = list[list[Any]](), 0, 0
        self.stored = 0

    async def add(self, row: Values) -> None:
        """Add a row; the batch is inserted when it is large enough. Raises PgError, NestvecError."""
        self._line += 1
        if len(row) != len(self._decoders):
            what = (
                "missing data for a column"
                if len(row) < len(self._decoders)
                else "extra data after the last column"
            )
            raise PgError("22P04", f"{what} in row {self._line} of COPY", detail=self.state())
        try:
            self._rows.append(
                [
                    None if value is None else decode(value)
                    for decode, value in zip(self._decoders, row, strict=True)
                ]
            )
        except PgError as error:
            raise PgError(
                error.sqlstate, f"{error.message} (row {self._line} of COPY)", detail=self.state()
            ) from error
        self._bytes += sum(len(value) for value in row if value is not None)
        if len(self._rows) >= _BATCH_ROWS or self._bytes >= _BATCH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Insert the rows. Raises PgError, NestvecError."""
        if not self._rows:
            return
        rows, self._rows, self._bytes = self._rows, [], 0
        try:
            await self._runner.drive(execute_many(self._runner.session, self._insert, rows), writes=True)
        except NestvecError as error:
            reported = to_pg_error(error)
            raise PgError(
                reported.sqlstate, reported.message, hint=reported.hint, detail=self.state()
            ) from error
        self.stored += len(rows)

    def state(self) -> str:
        """What an error leaves behind."""
        if not self.stored:
            return "No row of this COPY was stored."
        return f"The first {self.stored} rows of this COPY are stored: Milvus cannot undo them."


def _names(copy: CopyStatement, table: Table) -> tuple[str, ...]:
    """The columns of a COPY. Raises PgError."""
    fillable = tuple(column.name for column in row_schema(table).expected)
    if not copy.columns:
        return fillable
    names = list[str]()
    for text in copy.columns:
        name = folded_names(text)[0]
        exact = next((option for option in (name, text) if table.column(option) is not None), None)
        if exact is None:
            raise PgError(
                "42703",
                f'column "{name[:100]}" of relation "{table.name}" does not exist',
                hint=f"Available: {', '.join(fillable)}.",
            )
        names.append(exact)
    return tuple(names)


def _decoders(names: Sequence[str], table: Table, binary: bool) -> list[Decoder]:
    columns = [table.column(name) for name in names]
    return [decoder(column_oid(column), binary) for column in columns if column is not None]


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
