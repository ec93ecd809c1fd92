"""Answers the queries of the catalogs that one connection asks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import SqlglotError

from nestvec import __version__
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.pgwire.catalog.columns import column_names, column_types, postgres_oid
from nestvec.pgwire.catalog.database import CatalogDatabase, postgres_relations
from nestvec.pgwire.catalog.macros import FUNCTIONS
from nestvec.pgwire.catalog.rewrite import ClientContext, relation_of, rewrite
from nestvec.pgwire.describe import sample_values
from nestvec.pgwire.errors import PgError
from nestvec.pgwire.inference.statements import ParameterTypes
from nestvec.pgwire.outcome import StatementOutcome, field_of
from nestvec.pgwire.parameters import SERVER_VERSION, PgParameters
from nestvec.pgwire.protocol.responses import Field
from nestvec.pgwire.statement import Statement
from nestvec.sql.analysis.nodes import MAX_PARAMETERS, type_name
from nestvec.sql.bind.params import parameter_name
from nestvec.sql.interrupts import interruptible
from nestvec.sql.session import Session
from nestvec.sqltypes import oids

if TYPE_CHECKING:
    import duckdb

VERSION: Final = f"PostgreSQL {SERVER_VERSION} (nestvec {__version__}, Milvus)"
MAX_BYTES: Final = 256 << 10
"""The longest query of the catalogs."""
MAX_ROWS: Final = 200_000

_HINT: Final = re.compile(
    r"\bpg_\w+|information_schema|\b(?:" + "|".join(sorted(FUNCTIONS)) + r")\b|::\s*reg", re.I
)
"""What every query of the catalogs has somewhere."""

_ARRAY_CAST: Final = re.compile(
    r"::\s*(?:pg_catalog\.)?\"?(oid|name|char|regtype|regclass)\"?\s*\[\s*\]", re.I
)
_PARAMETER_CAST: Final = re.compile(r"\$(\d{1,5})" + _ARRAY_CAST.pattern, re.I)
_ARRAYS: Final = {"oid": "bigint", "name": "text", "char": "text", "regtype": "text", "regclass": "text"}

_TYPES: Final = {
    "BOOLEAN": oids.BOOL,
    "TINYINT": oids.INT2,
    "SMALLINT": oids.INT2,
    "INTEGER": oids.INT4,
    "BIGINT": oids.INT8,
    "HUGEINT": oids.NUMERIC,
    "FLOAT": oids.FLOAT4,
    "DOUBLE": oids.FLOAT8,
    "TIMESTAMP": oids.TIMESTAMP,
    "DATE": oids.DATE,
    "JSON": oids.JSON,
}


_COMPUTED: Final = frozenset({"quote_ident", "quote_literal", "quote_nullable"})
"""Functions of the catalogs' queries that every statement may have, and that make none a query of them."""


class Driver(Protocol):
    """What runs steps on Milvus for a connection."""

    parameters: PgParameters
    session: Session

    async def drive(self, steps: Steps[Any], *, writes: bool = False) -> Any:
        """The result of the steps."""
        ...


@lru_cache(maxsize=512)
def _parsed(sql: str) -> exp.Expr | None:
    """The tree of a query; None for what cannot be parsed, which is not of the catalogs then."""
    try:
        # sqlglot does not read arrays of types that it does not know.
        readable = _ARRAY_CAST.sub(lambda match: f"::{_ARRAYS[match[1].lower()]}[]", sql)
        trees = [tree for tree in Postgres().parse(readable) if tree is not None]
    except (SqlglotError, RecursionError):
        return None
    return trees[0] if len(trees) == 1 and isinstance(trees[0], exp.Query) else None


def query_of_catalogs(sql: str) -> exp.Expr | None:
    """The tree of a query that the catalogs answer; None for another statement. Raises PgError for a query of
    catalogs and collections at once."""
    if len(sql) > MAX_BYTES or _HINT.search(sql) is None:
        return None
    tree = _parsed(sql)
    if tree is None:
        return None
    names = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    tables = [
        table
        for table in tree.find_all(exp.Table)
        if isinstance(table.this, exp.Identifier) and not (table.name.lower() in names and not table.db)
    ]
    catalogs = [table for table in tables if relation_of(table) is not None]
    if tables and not catalogs:
        return None
    if len(catalogs) < len(tables):
        other = next(table.name for table in tables if relation_of(table) is None)
        raise PgError(
            "0A000",
            f'a query of the catalogs cannot read "{other[:100]}", too',
            hint="Ask them in two statements.",
        )
    if tables:
        return tree
    return tree if any(map(_is_catalog_function, tree.walk())) else None


def _is_catalog_function(node: exp.Expr) -> bool:
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return "REG" in node.args["to"].sql(dialect="postgres").upper()[:20]
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in FUNCTIONS - _COMPUTED
    if isinstance(node, exp.Func):
        return node.sql_name().lower() in FUNCTIONS or node.key.lower().removeprefix("current") in (
            "schema",
            "user",
            "database",
            "catalog",
            "version",
            "role",
        )
    return (
        isinstance(node, exp.Column) and not node.table and node.name.lower() in ("user", "current_catalog")
    )


class CatalogAnswers:
    """The catalogs, as one connection sees them."""

    def __init__(self, database: CatalogDatabase, user: str, process: int) -> None:
        self._database, self._user, self._process = database, user, process

    def forget(self) -> None:
        """The collections may have changed."""
        self._database.forget()

    async def run(self, tree: exp.Expr, params: Sequence[Any], driver: Driver) -> StatementOutcome:
        """The outcome of a query. Raises PgError, NestvecError."""
        self._set_config(tree, params, driver.parameters)
        return await self._answer(tree, params, driver)

    async def _answer(self, tree: exp.Expr, params: Sequence[Any], driver: Driver) -> StatementOutcome:
        context = ClientContext(
            self._user, self._database.database, self._process, VERSION, driver.parameters.value
        )
        steps = self._steps(tree, context, list(params), driver.session)
        outcome: StatementOutcome = await driver.drive(steps)
        return outcome

    async def describe(
        self, tree: exp.Expr, statement: Statement, declared: Sequence[int], driver: Driver
    ) -> tuple[tuple[int, ...], tuple[Field, ...]]:
        """The types of a query's parameters, and its columns. Raises PgError, NestvecError."""
        types = _CatalogParameterTypes(tree, _with_casts(statement.sql, declared)).infer(tree)
        # With NULLs DuckDB would not know the types of what is computed from them.
        try:
            outcome = await self._answer(tree, sample_values(tree, types, ()), driver)
        except PgError as error:
            if not error.sqlstate.startswith("22"):
                raise
            outcome = await self._answer(tree, [None] * len(types), driver)
        return types, outcome.fields

    def _steps(
        self, tree: exp.Expr, context: ClientContext, params: list[Any], session: Session
    ) -> Steps[StatementOutcome]:
        tables = yield from self._database.fresh_tables()
        views = yield from self._database.views.read(session, tables)

        def run(_: object) -> StatementOutcome:
            import duckdb  # noqa: PLC0415 - only a query of catalogs needs it

            sql = rewrite(tree, context)
            try:
                with self._database.cursor(tables, self._user, views) as cursor:
                    return _query(cursor, tree, sql, params)
            except duckdb.Error as error:
                raise duckdb_error(error) from error

        outcome: StatementOutcome = yield BlockingCall(run)
        return outcome

    def _set_config(self, tree: exp.Expr, params: Sequence[Any], parameters: PgParameters) -> None:
        """``set_config(name, value, local)`` takes effect before the query runs."""
        for call in tree.find_all(exp.Anonymous):
            if call.name.lower() != "set_config" or len(call.expressions) != 3:
                continue
            name, value, local = call.expressions
            if isinstance(value, exp.Literal):
                text: object = value.name
            else:
                number = parameter_name(value) if isinstance(value, exp.Parameter) else None
                text = params[int(number) - 1] if number and number.isdecimal() and params else None
            if isinstance(name, exp.Literal) and isinstance(text, str):
                parameters.set(name.name, text, local=isinstance(local, exp.Boolean) and bool(local.this))


def _query(
    cursor: duckdb.DuckDBPyConnection, tree: exp.Expr, sql: str, params: list[Any]
) -> StatementOutcome:
    used = len({str(node.name) for node in tree.find_all(exp.Parameter)})
    interruptible(cursor.interrupt)
    cursor.execute(sql, params[:used] if used else None)
    rows = cursor.fetchmany(MAX_ROWS + 1)
    described = [(str(column[0]), str(column[1])) for column in cursor.description or ()]
    if len(rows) > MAX_ROWS:
        raise PgError(
            "54000", f"a query of the catalogs returns more than {MAX_ROWS} rows", hint="Use LIMIT."
        )
    documents = [index for index, (_, type_) in enumerate(described) if type_ == "JSON"]
    if documents:
        rows = [
            tuple(
                json.loads(value) if index in documents and value is not None else value
                for index, value in enumerate(row)
            )
            for row in rows
        ]
    types, names = column_types(tree), column_names(tree)
    fields = tuple(
        field_of(names[index] if names else name, (types[index] if types else 0) or _duckdb_oid(type_))
        for index, (name, type_) in enumerate(described)
    )
    return StatementOutcome(f"SELECT {len(rows)}", fields, rows)


def _with_casts(sql: str, declared: Sequence[int]) -> list[int]:
    """The declared types of parameters, and those of casts to arrays that sqlglot does not read."""
    types = list(declared)
    for match in _PARAMETER_CAST.finditer(sql):
        number = int(match[1])
        if 0 < number <= MAX_PARAMETERS:
            types += [0] * (number - len(types))
            types[number - 1] = types[number - 1] or oids.array_of(oids.BY_NAME[match[2].lower()].oid)
    return types


def duckdb_error(error: Exception) -> PgError:
    """An error of DuckDB, as PostgreSQL would report it."""
    text = str(error).splitlines()[0][:500]
    kind, _, message = text.partition(": ")
    states = {
        "Binder Error": "42703",
        "Catalog Error": "42883",
        "Parser Error": "42601",
        "Conversion Error": "22P02",
    }
    if kind in ("INTERNAL Error", "FATAL Error"):
        return PgError(
            "XX000",
            f"a query of the catalogs failed inside DuckDB: {message}",
            hint="Write it in another way. Later queries are answered.",
        )
    if kind == "Invalid Input Error" and message.startswith('relation "'):
        return PgError("42P01", message)
    return PgError(
        states.get(kind, "0A000"),
        message or text,
        hint="Queries of the catalogs are answered as far as clients ask them to show tables and columns.",
    )


def _duckdb_oid(type_: str) -> int:
    if type_ == "BIGINT[]":
        return oids.array_of(oids.OID)  # there are no other arrays of this type in catalogs
    if type_.endswith("[]"):
        return oids.array_of(_duckdb_oid(type_[:-2]))
    if type_.startswith("DECIMAL"):
        return oids.NUMERIC
    return _TYPES.get(type_.upper(), oids.TEXT)


class _CatalogParameterTypes(ParameterTypes):
    """Types of parameters beside columns of the catalogs; names are texts, as which clients send them."""

    def __init__(self, tree: exp.Expr, declared: Sequence[int]) -> None:
        super().__init__((), declared, strict=False)
        relations = map(relation_of, tree.find_all(exp.Table))
        columns = (postgres_relations().get(relation, {}).items() for relation in relations if relation)
        self._columns = dict(column for each in columns for column in each)

    def column_type(self, name: str) -> str:
        type_ = self._columns.get(name)
        oid = postgres_oid(type_) if type_ is not None else 0
        return "text" if oid in oids.TEXTS else type_name(oid)
