"""Runs the statements of one connection: transactions and settings here, catalogs, and all else on Milvus."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.pgwire.catalog.answer import CatalogAnswers, query_of_catalogs
from nestvec.pgwire.cursors import CURSOR_WORDS, Cursors, parse_declare
from nestvec.pgwire.describe import describe_columns, query_columns, read_tables
from nestvec.pgwire.engine import Cancellation, StatementEngine, read_sql
from nestvec.pgwire.errors import PgError, to_pg_error
from nestvec.pgwire.inference.statements import ParameterTypes
from nestvec.pgwire.metrics import PgMetrics
from nestvec.pgwire.outcome import StatementOutcome, outcome_of, text_outcome
from nestvec.pgwire.parameters import TRANSACTION_READ_ONLY, PgParameters, parse_set
from nestvec.pgwire.protocol.responses import Field
from nestvec.pgwire.settings import PgLimits
from nestvec.pgwire.statement import Statement
from nestvec.pgwire.transaction import TransactionBlock
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.parse.source import identifier_name
from nestvec.sql.session import Session, named_tables
from nestvec.sql.statements import execute_steps
from nestvec.sql.statements.prepared import execute_values, prepared_statement
from nestvec.sql.statements.transaction import commit
from nestvec_schemas.errors import (
    CollectionExists,
    CollectionNotFound,
    CollectionRetired,
    NestvecError,
    SqlError,
)

logger = logging.getLogger(__name__)
_access = logging.getLogger("nestvec.access")

_TRANSACTION_WORDS = frozenset(
    {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"}
)
_SESSION_WORDS = {
    "DISCARD": "DISCARD ALL",
    "DEALLOCATE": "DEALLOCATE",
    "UNLISTEN": "UNLISTEN",
}
_QUERIES = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})
_CHANGING = frozenset({"CREATE", "DROP", "ALTER", "TRUNCATE", "INSERT", "COPY"})
_CHANGED_NOTHING = (SqlError, CollectionNotFound, CollectionExists, CollectionRetired)
"""Errors before the first change, unless the session has counted it; after others, there may be a change."""


class StatementRunner:
    """The statements of one connection, which run one after the other."""

    def __init__(
        self,
        engine: StatementEngine,
        session: Session,
        parameters: PgParameters,
        catalogs: CatalogAnswers,
        metrics: PgMetrics,
        *,
        limits: PgLimits,
    ) -> None:
        self.engine, self.session, self.parameters = engine, session, parameters
        self.catalogs, self.metrics = catalogs, metrics
        self.block = TransactionBlock()
        self.cursors = Cursors(limits.cursor_bytes)
        self._max_seconds = limits.statement_seconds
        self._running: Cancellation | None = None

    def cancel(self, error: PgError) -> None:
        """Stop the running statement, if there is one."""
        if self._running is not None:
            self._running.cancel(error)

    async def run(
        self, statement: Statement, params: Sequence[Any] = (), types: Sequence[int] = ()
    ) -> StatementOutcome:
        """Run one statement. Raises PgError."""
        started, tag = time.perf_counter(), "error"
        try:
            outcome = await self._run(statement, params, types)
            tag = outcome.tag
            return outcome
        except NestvecError as error:
            raise to_pg_error(error, statement.offset) from error
        except PgError:
            raise
        except Exception as error:
            logger.exception("a statement failed unexpectedly")
            raise PgError(
                "XX000",
                "internal error",
                hint="The server's log has what happened.",
                detail=type(error).__name__,
            ) from error
        finally:
            seconds = time.perf_counter() - started
            word = (statement.word if tag != "error" else "error") or "empty"
            self.metrics.statement_done(word, seconds)
            _access.info("%s, %.2f ms", tag[:40], seconds * 1000)

    async def _run(
        self, statement: Statement, params: Sequence[Any], types: Sequence[int]
    ) -> StatementOutcome:
        word = statement.word
        if word in _TRANSACTION_WORDS:
            return self._transaction(statement)
        self.block.check()
        local = self._local(statement)
        if local is not None:
            return local
        if word in CURSOR_WORDS:
            return await self._cursor(statement, params, types)
        if word == "EXECUTE":
            prepared, values = await self._prepared(statement, params)
            return await self._run(prepared, values, ())
        self.check_writable(statement)
        query = await read_sql(query_of_catalogs, statement.sql)
        if query is not None:
            return await self.catalogs.run(query, params, self)
        writes = await read_sql(lambda _: statement.writes, statement.sql)
        steps = execute_steps(self.session, statement.sql, list(params) if params else None)
        result = await self.drive(steps, writes=writes)
        if word in _CHANGING:
            self.catalogs.forget()
        notices = [PgError("00000", text, severity="NOTICE") for text in self.session.notices.take()]
        return replace(outcome_of(result), notices=tuple(notices)) if notices else outcome_of(result)

    async def _prepared(self, statement: Statement, params: Sequence[Any]) -> tuple[Statement, Sequence[Any]]:
        """The statement that EXECUTE runs, and its values. Raises NestvecError, PgError."""
        parsed = await read_sql(parse, statement.sql)
        prepared = prepared_statement(self.session, parsed.source, parsed.tree.expression)
        values = await self.drive(execute_values(self.session, parsed, bind_params(list(params))))
        return Statement(prepared.text, statement.offset), values

    def check_writable(self, statement: Statement) -> None:
        """Refuse a statement that writes in a read-only transaction. Raises PgError."""
        if self.parameters.read_only(in_block=self.block.status != "I") and statement.modification:
            message = f"cannot execute {statement.modification} in a read-only transaction"
            raise PgError("25006", message)

    async def drive(self, steps: Steps[Any], *, writes: bool = False) -> Any:
        """Run steps on Milvus, within the time limits. Raises NestvecError, PgError."""
        limits = [seconds for seconds in (self._max_seconds, self.parameters.statement_seconds) if seconds]
        self._running = Cancellation()
        changes = self.session.writes.changes
        may_have_written = writes
        try:
            result = await self.engine.run(
                steps, self._running, seconds=min(limits, default=0.0), writes=writes
            )
            may_have_written = False
            return result
        except _CHANGED_NOTHING:
            may_have_written = False
            raise
        finally:
            self._running = None
            if writes and self.block.status == "T":
                self.block.writes += max(self.session.writes.changes - changes, int(may_have_written))

    async def describe(
        self, statement: Statement, declared: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[Field, ...] | None]:
        """The types of a statement's parameters, and its columns; None if only its execution tells them.

        Raises PgError.
        """
        if statement.empty or statement.word in _TRANSACTION_WORDS or statement.word in _SESSION_WORDS:
            return tuple(declared), ()
        if statement.word == "DECLARE":
            types, _ = await self.describe(parse_declare(statement).query, declared)
            return types, ()
        if statement.word in CURSOR_WORDS:
            return tuple(declared), self.cursors.fetched_fields(statement)
        if statement.word == "EXECUTE":
            return tuple(declared), await self._executed_fields(statement)
        setting = parse_set(statement.sql)
        if setting is not None:
            return tuple(declared), None if setting.word == "SHOW" else ()
        query = await read_sql(query_of_catalogs, statement.sql)
        if query is not None:
            return await self.catalogs.describe(query, statement, declared, self)
        if statement.word == "COPY":
            return tuple(declared), ()
        try:
            parsed = await read_sql(parse, statement.sql)
            tables = await self.drive(read_tables(self.session, parsed))
            types = ParameterTypes(tables, declared).infer(parsed.tree)
            fields = await self.drive(describe_columns(self.session, parsed, types, tables))
        except NestvecError as error:
            raise to_pg_error(error, statement.offset) from error
        if fields is None and (statement.writes or statement.word in ("SET", "RESET")):
            fields = ()
        return types, fields

    async def _executed_fields(self, statement: Statement) -> tuple[Field, ...] | None:
        """The columns of the statement that EXECUTE runs. Raises PgError."""
        try:
            parsed = await read_sql(parse, statement.sql)
            prepared = prepared_statement(self.session, parsed.source, parsed.tree.expression)
        except NestvecError as error:
            raise to_pg_error(error, statement.offset) from error
        return (await self.describe(Statement(prepared.text, statement.offset), ()))[1]

    async def columns(self, statement: Statement, types: Sequence[int]) -> tuple[Field, ...]:
        """The columns of a statement that only reads: a query is planned, others run. Raises PgError."""
        if statement.word not in _QUERIES:
            return (await self.run(statement)).fields
        try:
            parsed = await read_sql(parse, statement.sql)
            tables = await self.drive(read_tables(self.session, parsed))
            fields: tuple[Field, ...] = await self.drive(query_columns(self.session, parsed, types, tables))
        except NestvecError as error:
            raise to_pg_error(error, statement.offset) from error
        finally:
            self.session.notices.take()  # they are of its execution
        return fields

    async def named_tables(self, statement: Statement) -> dict[str, Table]:
        """The collections that the session holds of those that a statement names."""
        if not self.session.tables or statement.word not in _QUERIES:
            return {}
        try:
            parsed = await read_sql(parse, statement.sql)
        except NestvecError:
            return {}  # a query of the catalogs, whose grammar is wider
        return self.tables_of(named_tables(parsed.tree))

    def tables_of(self, names: Iterable[str]) -> dict[str, Table]:
        """Those of these collections that the session holds."""
        return {name: self.session.tables[name] for name in names if name in self.session.tables}

    async def _cursor(
        self, statement: Statement, params: Sequence[Any], types: Sequence[int]
    ) -> StatementOutcome:
        """The outcome of DECLARE, which runs the query, or of FETCH, MOVE and CLOSE."""
        if statement.word != "DECLARE":
            return self.cursors.run(statement)
        declaration = parse_declare(statement)
        if self.block.status == "I" and not declaration.hold:
            raise PgError(
                "25P01", "DECLARE CURSOR can only be used in transaction blocks", hint="Add WITH HOLD."
            )
        self.cursors.check_new(declaration.name)
        outcome = await self.run(declaration.query, params, types)
        return self.cursors.declare(declaration, outcome, in_block=self.block.status != "I")

    def _transaction(self, statement: Statement) -> StatementOutcome:
        word = statement.word
        if word in ("BEGIN", "START"):
            notice = self.block.begin()
            if notice is None:
                self.parameters.begin_block(statement.sql)
            tag = "BEGIN" if word == "BEGIN" else "START TRANSACTION"
            return StatementOutcome(tag, notices=_notices(notice))
        words = statement.sql.upper().split()
        if word in ("SAVEPOINT", "RELEASE") or (word == "ROLLBACK" and "TO" in words):
            return self._savepoint(word, words[-1])
        self.parameters.end_block()
        commits = word in ("COMMIT", "END")
        self.cursors.end_block(committed=commits and self.block.status != "E")
        commit(self.session)
        ends = self.block.commit if commits else self.block.rollback
        tag, notice = ends(self.session.settings.rollback)
        return StatementOutcome(tag, notices=_notices(notice))

    def _savepoint(self, word: str, name: str) -> StatementOutcome:
        """Savepoints are accepted inside a block; going back to one is honest only without writes."""
        if self.block.status == "I":
            raise PgError("25P01", f"{word} can only be used in transaction blocks")
        if word != "ROLLBACK":
            self.block.check()
        self.block.savepoint(word, name.rstrip(";"))
        if word == "ROLLBACK":
            if self.block.writes:
                raise PgError(
                    "0A000",
                    "ROLLBACK TO SAVEPOINT cannot undo what this transaction wrote to Milvus",
                    hint="Milvus has no transactions: undo the changes with further statements.",
                )
            self.block.status = "T"
            return StatementOutcome("ROLLBACK")
        return StatementOutcome(word)

    def _deallocate(self, statement: Statement) -> StatementOutcome:
        """DEALLOCATE of a statement of PREPARE, or of the protocol, whose own statements end with it."""
        command = parse(statement.sql).tree
        name, statements = identifier_name(command.expression), self.session.caller.prepared
        if name == "all" and not command.expression.args.get("quoted"):
            statements.clear()
            return StatementOutcome("DEALLOCATE ALL", closing_tag=True)
        is_ours = statements.pop(name, None) is not None
        return StatementOutcome("DEALLOCATE", closing_tag=True, deallocated="" if is_ours else name)

    def _local(self, statement: Statement) -> StatementOutcome | None:
        """The outcome of a statement of settings and the session; None for another one."""
        if statement.empty:
            return StatementOutcome("")
        tag = _SESSION_WORDS.get(statement.word)
        if tag is not None:
            if statement.word == "DEALLOCATE":
                return self._deallocate(statement)
            if statement.word == "DISCARD":
                self.session.caller.prepared.clear()
                self.cursors.clear()
                self.parameters.reset()
                self.session.settings = self.session.defaults
            return StatementOutcome(tag, closing_tag=True)
        if statement.word not in ("SET", "SHOW", "RESET"):
            return None
        setting = parse_set(statement.sql)
        if setting is None:
            return None
        if setting.word == "SHOW":
            return text_outcome("SHOW", setting.name, [self.parameters.value(setting.name) or ""])
        if setting.word == "RESET" and not setting.name:
            self.parameters.reset()
            self.session.settings = self.session.defaults
        elif setting.name.lower() == TRANSACTION_READ_ONLY and self.block.status == "I":
            warning = "SET TRANSACTION can only be used in transaction blocks"
            return StatementOutcome("SET", notices=(PgError("25P01", warning, severity="WARNING"),))
        elif setting.name:
            value = "default" if setting.word == "RESET" else setting.value
            self.parameters.set(setting.name, value, local=setting.local and self.block.status != "I")
        return StatementOutcome(setting.word)


def _notices(notice: PgError | None) -> tuple[PgError, ...]:
    return () if notice is None else (notice,)
