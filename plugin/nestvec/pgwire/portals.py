"""The extended protocol: prepared statements and portals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nestvec.milvus.catalog import Table
from nestvec.pgwire.copying.syntax import is_copy_stream
from nestvec.pgwire.engine import read_sql
from nestvec.pgwire.errors import PgError, result_type_changed
from nestvec.pgwire.outcome import StatementOutcome, field_of, formats_of, row_encoder
from nestvec.pgwire.protocol import responses
from nestvec.pgwire.protocol.messages import BindMessage, ParseMessage
from nestvec.pgwire.protocol.responses import Field
from nestvec.pgwire.runner import StatementRunner
from nestvec.pgwire.statement import Statement, single_statement
from nestvec.pgwire.types.decode import decoder
from nestvec.sql.result import Row
from nestvec.sqltypes import oids

MAX_STATEMENTS: Final = 2_000
"""Prepared statements of one connection."""
MAX_PORTALS: Final = 200
MAX_STATEMENT_BYTES: Final = 16 << 20
"""Text of all prepared statements of one connection."""


@dataclass
class Prepared:
    """A prepared statement."""

    statement: Statement
    declared: tuple[int, ...]
    """The types that the client named, 0 for those to be inferred."""
    types: tuple[int, ...] | None = None
    """The types of the parameters; None until they are needed."""
    fields: tuple[Field, ...] | None = None
    """The columns; None if only the execution tells them, type 0 if only the values tell it."""
    tables: Mapping[str, Table] = field(default_factory=dict)
    """The collections that it was planned for."""


@dataclass
class Portal:
    """A prepared statement with values for its parameters, and its rows once it ran."""

    prepared: Prepared
    params: list[Any]
    result_formats: tuple[int, ...]
    outcome: StatementOutcome | None = None
    fields: tuple[Field, ...] = ()
    position: int = 0
    """Rows that were sent."""

    def formats(self) -> tuple[int, ...]:
        """A format for each column."""
        return formats_of(self.result_formats, len(self.fields))


def _planned(planned: Sequence[Field] | None, fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """The columns of a result, with the types that the plan has told before."""
    if planned is None or len(planned) != len(fields):
        return fields
    return tuple(before if before.oid else now for before, now in zip(planned, fields, strict=True))


def _encode_announced(encode: Callable[[Row], bytes]) -> Callable[[Row], bytes]:
    """The same; a value of another type than announced is of a view or a file that changed."""

    def encode_announced(row: Row) -> bytes:
        try:
            return encode(row)
        except PgError as error:
            raise result_type_changed() from error

    return encode_announced


class ExtendedProtocol:
    """The prepared statements and portals of one connection. Each method raises PgError."""

    def __init__(self, runner: StatementRunner) -> None:
        self._runner = runner
        self._prepared = dict[str, Prepared]()
        self._portals = dict[str, Portal]()

    async def parse(self, message: ParseMessage) -> None:
        """Prepare a statement; its types are inferred now, so that what is wrong with it is said now."""
        if message.name and message.name in self._prepared:
            raise PgError("42P05", f'prepared statement "{message.name[:100]}" already exists')
        size = sum(len(prepared.statement.sql) for prepared in self._prepared.values())
        if len(self._prepared) >= MAX_STATEMENTS or size + len(message.sql) > MAX_STATEMENT_BYTES:
            raise PgError(
                "53400",
                f"the connection has {len(self._prepared)} prepared statements: it may have no more",
                hint="Close those that are not used, or send DISCARD ALL.",
            )
        prepared = Prepared(await read_sql(single_statement, message.sql), message.oids)
        if prepared.statement.word not in ("COMMIT", "END", "ROLLBACK", "ABORT"):
            self._runner.block.check()
        if not prepared.statement.empty and prepared.statement.word != "COPY":
            await self._describe(prepared)
        self._prepared[message.name] = prepared

    async def bind(self, message: BindMessage) -> None:
        """Make a portal of a prepared statement."""
        prepared = self._statement(message.statement)
        if message.portal and message.portal in self._portals:
            raise PgError("42P03", f'cursor "{message.portal[:100]}" already exists')
        if len(self._portals) >= MAX_PORTALS:
            raise PgError(
                "53400", f"the connection has {MAX_PORTALS} open portals", hint="Close some, or Sync."
            )
        types = prepared.types if prepared.types is not None else prepared.declared
        if len(message.params) != len(types):
            raise PgError(
                "08P01",
                f"bind message supplies {len(message.params)} parameters, but prepared statement "
                f'"{message.statement[:100]}" requires {len(types)}',
            )
        formats = formats_of(message.param_formats, len(types))
        params = [
            None if value is None else decoder(oid, bool(format_))(value)
            for value, oid, format_ in zip(message.params, types, formats, strict=True)
        ]
        self._portals[message.portal] = Portal(prepared, params, message.result_formats)

    async def describe_statement(self, name: str) -> bytes:
        """ParameterDescription, and RowDescription or NoData."""
        prepared = self._statement(name)
        types = prepared.types if prepared.types is not None else prepared.declared
        if is_copy_stream(prepared.statement.sql):
            return responses.parameter_description(types) + responses.NO_DATA
        if prepared.fields is None:
            prepared.fields = await self._runner.columns(prepared.statement, types)
        # What the client is told now stays so: it decodes all rows by it.
        prepared.fields = tuple(
            column if column.oid else field_of(column.name, oids.TEXT) for column in prepared.fields or ()
        )
        description = responses.parameter_description([oid or oids.TEXT for oid in types])
        fields = prepared.fields
        if not fields:
            return description + responses.NO_DATA
        return description + responses.row_description(fields, (0,) * len(fields))

    async def describe_portal(self, name: str) -> bytes:
        """RowDescription or NoData. A read runs now: its result tells the columns."""
        declared = self._runner.cursors.fields(name) if name not in self._portals else None
        if declared is not None:
            return responses.row_description(declared, (0,) * len(declared))
        portal = self._portal(name)
        statement = portal.prepared.statement
        if portal.prepared.fields == () or is_copy_stream(statement.sql):
            return responses.NO_DATA
        if statement.writes:
            portal.fields = portal.prepared.fields or ()
        else:
            await self.run(portal)
        if not portal.fields:
            return responses.NO_DATA
        return responses.row_description(portal.fields, portal.formats())

    async def run(self, portal: Portal) -> StatementOutcome:
        """The outcome of a portal, which runs at most once."""
        if portal.outcome is None:
            prepared = portal.prepared
            outcome = await self._runner.run(prepared.statement, portal.params, prepared.types or ())
            await self._check_columns(prepared, outcome)
            portal.outcome, portal.fields = outcome, _planned(prepared.fields, outcome.fields)
        return portal.outcome

    async def _check_columns(self, prepared: Prepared, outcome: StatementOutcome) -> None:
        """Refuse rows of other columns than those announced: a collection was created anew, or altered.

        Drivers prepare the statement again when they get this error of PostgreSQL's.
        """
        announced = prepared.fields
        if not announced:
            return
        if [column.name for column in announced] != [column.name for column in outcome.fields]:
            # Of what a view or a file has now, too, which are none of the tables.
            raise result_type_changed()
        if self._runner.tables_of(prepared.tables) == prepared.tables:
            return
        _, planned = await self._runner.describe(prepared.statement, prepared.declared)
        fields = _planned(planned, outcome.fields)
        same = len(fields) == len(announced) and all(
            before.name == now.name and before.oid in (0, now.oid)
            for before, now in zip(announced, fields, strict=True)
        )
        if not same:
            raise result_type_changed()
        # What changed does not matter to it, and is not looked at again.
        prepared.tables = self._runner.tables_of(prepared.tables)

    def next_rows(self, portal: Portal, max_rows: int) -> tuple[Sequence[Row], Callable[[Row], bytes], bool]:
        """The rows that an Execute sends, what encodes them, and whether more follow."""
        outcome = portal.outcome
        rows = outcome.rows if outcome is not None else ()
        end = min(len(rows), portal.position + max_rows) if max_rows > 0 else len(rows)
        chunk = rows[portal.position : end]
        portal.position = end
        encode = row_encoder(portal.fields, portal.formats())
        if outcome is not None and portal.fields != outcome.fields:
            encode = _encode_announced(encode)
        return chunk, encode, end < len(rows)

    def portal(self, name: str) -> Portal:
        """A portal by its name."""
        return self._portal(name)

    def close(self, kind: str, name: str) -> None:
        """Discard a statement with its portals, or a portal; no error if there is none."""
        if kind == "S":
            prepared = self._prepared.pop(name, None)
            gone = [key for key, portal in self._portals.items() if portal.prepared is prepared]
            for key in gone:
                del self._portals[key]
        else:
            self._portals.pop(name, None)

    def deallocate(self, name: str) -> None:
        """DEALLOCATE of one statement."""
        self._statement(name)
        self.close("S", name)

    def end_block(self) -> None:
        """Portals end with their transaction."""
        self._portals.clear()

    def clear(self) -> None:
        """DISCARD ALL, DEALLOCATE ALL."""
        self._prepared.clear()
        self._portals.clear()

    async def _describe(self, prepared: Prepared) -> None:
        types, fields = await self._runner.describe(prepared.statement, prepared.declared)
        prepared.types, prepared.fields = types, fields
        prepared.tables = await self._runner.named_tables(prepared.statement)

    def _statement(self, name: str) -> Prepared:
        prepared = self._prepared.get(name)
        if prepared is None:
            shown = f'prepared statement "{name[:100]}"' if name else "unnamed prepared statement"
            raise PgError("26000", f"{shown} does not exist")
        return prepared

    def _portal(self, name: str) -> Portal:
        portal = self._portals.get(name)
        if portal is None:
            raise PgError("34000", f'portal "{name[:100]}" does not exist')
        return portal
