"""DuckDB: one in-memory database per process and kind of access, a connection of its own per statement."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import ARROW, SPECIAL
from pymilvus import MilvusClient

from nestvec.sql.interrupts import interruptible
from nestvec.sql.relational.documents.changes import (
    json_concat,
    json_delete,
    json_delete_at,
    json_delete_item,
    json_delete_key,
    json_set,
)
from nestvec.sql.relational.documents.containment import json_contains, json_normal
from nestvec.sql.relational.documents.order import json_print, json_sort_key
from nestvec.sql.relational.documents.parts import json_part
from nestvec.sql.relational.errors.function_names import AGGREGATES, FUNCTIONS
from nestvec.sql.relational.formats.regular_expressions import WITHOUT_LOOKAROUND
from nestvec.sql.relational.functions.averages import AVERAGES
from nestvec.sql.relational.functions.clock import wall_clock
from nestvec.sql.relational.functions.in_python import PYTHON_FUNCTIONS
from nestvec.sql.relational.functions.quotients import QUOTIENTS
from nestvec.sql.relational.functions.sparse_vectors import SPARSE_FUNCTIONS
from nestvec.sql.relational.functions.vectors import VECTOR_FUNCTIONS
from nestvec.sql.relational.macros import MACROS
from nestvec.sql.relational.postgres import PostgresTable, load_extension
from nestvec.sql.relational.rewrites.datetime_texts import datetime_number
from nestvec_schemas.errors import (
    NestvecError,
    SqlDataError,
    SqlNotSupported,
    SqlSyntaxError,
    SqlTypeMismatch,
    SqlUnknownName,
    StoreUnreachable,
    nearest,
)

_MEMORY: Final = "4GB"
_MAX_CAUSE: Final = 300
"""Length of a message of DuckDB that an error repeats."""

INTERRUPTED: Final = "Interrupted"
"""The cause of the error of a query that was stopped."""

DISABLED_OPTIMIZERS: Final = "join_filter_pushdown"
"""DuckDB 1.5 filters below LIMIT and GROUP BY by a join above, at times (duckdb#22924, #22075)."""

_CONFIG: Final = {
    "memory_limit": _MEMORY,
    "threads": "2",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "disabled_optimizers": DISABLED_OPTIMIZERS,
    "max_temp_directory_size": "8GB",
}


@lru_cache(maxsize=1)
def _spill_folder() -> tempfile.TemporaryDirectory[str] | None:
    """Where DuckDB writes what does not fit into memory, until the process ends; it would take the working
    directory, and let every user of the machine read it. None where no folder can be written."""
    try:
        return tempfile.TemporaryDirectory(prefix="nestvec-duckdb-", ignore_cleanup_errors=True)
    except OSError:
        return None


@lru_cache(maxsize=4)
def _database(files: bool, postgres: bool) -> duckdb.DuckDBPyConnection:
    """The database; only the one for statements that name files may open any."""
    access = "true" if files or postgres else "false"
    spill = _spill_folder()
    folder = "" if spill is None else spill.name
    database = duckdb.connect(
        ":memory:", config={**_CONFIG, "temp_directory": folder, "enable_external_access": access}
    )
    if postgres:
        load_extension(database)
    if postgres and not files:
        # What is loaded may still connect.
        database.execute("SET enable_external_access = false")
    # Else it is that of the machine, while stored times are of UTC.
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    database.create_function("pg_datetime_number", datetime_number, ["VARCHAR", "VARCHAR"], "BIGINT")
    # It is another one at each call.
    database.create_function("pg_wall_clock", wall_clock, [], "BIGINT", side_effects=True)
    for name, function, parameters, result in (*PYTHON_FUNCTIONS, *AVERAGES, *SPARSE_FUNCTIONS):
        database.create_function(name, function, parameters, result)
    for name, function, parameters, result in VECTOR_FUNCTIONS:
        database.create_function(name, function, parameters, result, type=ARROW, null_handling=SPECIAL)
    for name, function, parameters, result in QUOTIENTS:
        database.create_function(name, function, parameters, result, type=ARROW)
    database.create_function("pg_json_contains", json_contains, ["JSON", "JSON"], "BOOLEAN")
    database.create_function("pg_json_part_text", json_part, ["JSON", "VARCHAR"], "VARCHAR")
    database.create_function("pg_json_normal", json_normal, ["JSON"], "VARCHAR")
    database.create_function("pg_json_sort_key", json_sort_key, ["JSON"], "BLOB")
    database.create_function("pg_json_document", json_print, ["VARCHAR"], "VARCHAR")
    database.create_function("pg_json_concat", json_concat, ["JSON", "JSON"], "JSON")
    database.create_function("pg_json_delete", json_delete, ["JSON", "VARCHAR[]"], "JSON")
    database.create_function("pg_json_delete_key", json_delete_key, ["JSON", "VARCHAR"], "JSON")
    database.create_function("pg_json_delete_item", json_delete_item, ["JSON", "BIGINT"], "JSON")
    database.create_function("pg_json_delete_at", json_delete_at, ["JSON", "VARCHAR[]"], "JSON")
    database.create_function("pg_json_set", json_set, ["JSON", "VARCHAR[]", "JSON", "BOOLEAN"], "JSON")
    for macro in MACROS:
        database.execute(f"CREATE OR REPLACE MACRO {macro}")
    return database


@contextmanager
def open_engine(
    files: bool = False, postgres: Sequence[PostgresTable] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose temporary tables are its own. Errors of DuckDB become nestvec's.

    It reads files only with ``files``. Raises SqlNotSupported where tables of PostgreSQL cannot be read.
    """
    connection = _database(files, bool(postgres)).cursor()
    interruptible(connection.interrupt)
    try:
        with duckdb_errors(postgres):
            yield connection
    finally:
        connection.close()


def describe_supplied(
    client: MilvusClient, *, data: Any = None, call: str = "", postgres: PostgresTable | None = None
) -> dict[str, str]:
    """The columns of a table of the caller or of PostgreSQL, or of a file, with DuckDB's types.

    Raises SqlDataError for a file that cannot be read, SqlNotSupported without DuckDB's extension.
    """
    with open_engine(bool(call), () if postgres is None else (postgres,)) as connection:
        if data is not None:
            connection.register("described", data)
        source = call or ("described" if postgres is None else postgres.call)
        described = connection.execute(f"DESCRIBE FROM {source}")
        return {str(row[0]): str(row[1]) for row in described.fetchall()}


def add_table(
    connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table, casts: Mapping[str, str]
) -> None:
    """Make an Arrow table readable as ``name``; ``casts`` gives columns the types that Arrow lacks."""
    # DuckDB has Arrow filter its tables, to which NaN is not above all numbers.
    copied = _holds_nan(table)
    # Of a registered table, DuckDB 1.5 mistakes a DECIMAL for another column in a correlated subquery.
    decimals = any(pa.types.is_decimal(column.type) for column in table.columns)
    if not casts and not copied and not decimals:
        connection.register(name, table)
        return
    connection.register(f"{name}_raw", table)
    replaced = ", ".join(f"{quote(column)}::{kind} AS {quote(column)}" for column, kind in casts.items())
    columns = f"* REPLACE ({replaced})" if casts else "*"
    rows = f"SELECT {columns} FROM {quote(name + '_raw')}"  # noqa: S608 - quoted names
    connection.execute(f"CREATE TEMP {'TABLE' if copied else 'VIEW'} {quote(name)} AS {rows}")


def _holds_nan(table: pa.Table) -> bool:
    floats = [column for column in table.columns if pa.types.is_floating(column.type)]
    return any(pc.any(pc.is_nan(column)).as_py() for column in floats)


def quote(name: str) -> str:
    """A name as an identifier of DuckDB."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def duckdb_errors(postgres: Sequence[PostgresTable] = ()) -> Iterator[None]:
    """Raise errors of DuckDB as nestvec's, without the addresses of PostgreSQL's servers."""
    try:
        yield
    except duckdb.Error as error:
        if isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
            # DuckDB refuses every later statement of a database that had one.
            _database.cache_clear()
        text = str(error)
        for table in postgres:
            text = text.replace(table.address, table.server)
        raise convert_error(type(error)(text)) from None
    except RuntimeError as error:
        # The reading of a result that is stopped raises Python's own error.
        if INTERRUPTED.lower() not in str(error):
            raise
        raise convert_error(duckdb.InterruptException("INTERRUPT Error: Interrupted!")) from None


def convert_error(error: duckdb.Error) -> NestvecError:
    """An error of DuckDB in PostgreSQL's words, as an error of the statement."""
    text = str(error)
    first = re.split(r"\n\s*\n|\nLINE ", text, maxsplit=1)[0].strip()
    cause = re.sub(r"^[A-Za-z -]+ Error: ", "", first).strip().rstrip("!")[:_MAX_CAUSE]
    cause = re.sub(r'"?__distance\w*"?', "distance", cause)
    unreachable = re.match(r'Unable to connect to Postgres at "(.*?)": (.*)', cause)
    if unreachable:
        return StoreUnreachable(
            f"PostgreSQL does not answer: {unreachable[2]}",
            value=unreachable[1],
            next_step="Check the connection string that it is attached by.",
        )
    for pattern, replacement in _CAUSES:
        match = re.search(pattern, cause)
        if match:
            worded, next_step = replacement
            return SqlDataError(match.expand(worded)[:_MAX_CAUSE], next_step=next_step)
    if isinstance(
        error, (duckdb.OutOfRangeException, duckdb.ConversionException, duckdb.TypeMismatchException)
    ):
        return SqlDataError(cause, next_step="Change the value, or cast an operand to a wider type.")
    extension = re.search(r"install the required extension '(\w+)'", cause)
    if extension:
        return SqlNotSupported(f"the type {extension[1]} is not supported", next_step="Store it as text.")
    unknown = re.match(r"(?:Scalar|Table|Aggregate)?\s*Function with name (\S+) does not exist", cause)
    if unknown and unknown[1].lower() == "highlight":
        return SqlNotSupported(
            "HIGHLIGHT in an expression is not supported",
            next_step="Name it in a subquery: SELECT upper(x) FROM (SELECT HIGHLIGHT(body) AS x …) AS t.",
        )
    if unknown:
        # The words before the name are those of other unknown constructs.
        return SqlUnknownName(
            f"the function {unknown[1]}() does not exist",
            next_step="Use a function of PostgreSQL or pgvector."
            + nearest(unknown[1].lower(), (*FUNCTIONS, *AGGREGATES)),
        )
    if isinstance(error, duckdb.CatalogException):
        return SqlUnknownName(
            cause.split("\n")[0].rstrip("!"), next_step="Use a function or type of PostgreSQL."
        )
    if isinstance(error, duckdb.ParserException):
        return SqlSyntaxError(cause, next_step="Correct the SQL.")
    if isinstance(error, duckdb.BinderException):
        for pattern, (worded, next_step) in _MISMATCHES:
            match = re.search(pattern, cause)
            if match:
                return SqlTypeMismatch(match.expand(worded)[:_MAX_CAUSE], next_step=match.expand(next_step))
        return SqlTypeMismatch(
            cause.rstrip("."), next_step="Check the names and the types, and cast where they differ."
        )
    if isinstance(error, (duckdb.NotImplementedException, duckdb.OutOfMemoryException)):
        return SqlNotSupported(cause, next_step="Simplify the statement, or read fewer rows.")
    return SqlDataError(cause, next_step="Check the values of the statement.")


_NO_ROOM: Final = r"(?:out of range for the destination|cast decimal value \S+ to)"
_DOUBLE: Final = "Leave it a double precision, or exclude such rows with WHERE."
_WIDER: Final = "Cast an operand to a wider type first."
_EXCLUDE: Final = "Exclude such rows with WHERE, or use CASE."

_MISMATCHES: Final = (
    (
        r"^Set operations can only apply to expressions with the same number.*",
        (
            "the queries of UNION, INTERSECT and EXCEPT must have the same number of columns",
            "Add columns to one.",
        ),
    ),
    (
        r"^(\w+) clause cannot contain window functions.*",
        (r"window functions are not allowed in \1", "Compute it in a subquery of FROM."),
    ),
    (
        r'^column "?([^" ]+)"? must appear in the GROUP BY clause',
        (r"column \1 is neither in GROUP BY nor in an aggregate", r"Add it to GROUP BY, or write min(\1)."),
    ),
    (
        r"(?:No function matches the given name and argument types '|"
        r'Could not choose a best candidate function for the function call ")(.+?)\((.*?)\)[\'"]',
        (r"\1 does not take (\2)", "Cast the operands to types that it takes."),
    ),
    (
        r"[Mm]acro \"?(\w+)\(\)\"? does not support the supplied arguments",
        (r"\1() does not take these arguments", "Pass those that its documentation names."),
    ),
)
"""DuckDB's messages on names and types, in PostgreSQL's words."""

_CAUSES: Final = (
    (
        r"executing the UDF: ValueError: (.* in a pattern of a number is not supported)",
        (r"\1", "Write the pattern with 9, 0, D, G, S, MI, PL, SG, PR, FM, RN and TH."),
    ),
    (
        r"executing the UDF: ValueError: (.* pattern of a number.*)",
        (r"\1", "Correct the pattern of to_char()."),
    ),
    (r"executing the UDF: ValueError: (.*)", (r"\1", _EXCLUDE)),
    (r"executing the UDF: RecursionError: .*", ("the JSON is nested too deeply", _EXCLUDE)),
    (
        r"Max expression depth limit of \d+ exceeded.*",
        ("the expression is nested too deeply", "Compute a part of it in a subquery."),
    ),
    (r"^invalid perl operator: (.*)", (r"\1 in a regular expression is not supported", WITHOUT_LOOKAROUND)),
    (
        r"^((?:missing|unexpected|trailing|bad repetition|no argument for|"
        r"invalid (?:repetition|escape|character class))\b.*)",
        (r"invalid regular expression: \1", "Correct the pattern."),
    ),
    (r"^A?(?:SIN|COS|TANH?|COSH) is undefined outside.*", ("input is out of range", _EXCLUDE)),
    (r"^(Date|Time) out of range: (.*)", (r"date/time field value out of range: \2", _EXCLUDE)),
    (
        r"^Unknown TimeZone '(.*)'",
        (r'time zone "\1" not recognized', "Write 'Europe/Berlin' or 'UTC'."),
    ),
    (r"^Invalid UTF8 Codepoint (-?\d+)", (r"requested character too large for encoding: \1", _EXCLUDE)),
    (r"^Invalid escape string\..*", ("invalid escape string", "Escape with one character.")),
    (
        r"^PERCENTILEs can only take.*",
        ("percentile value is not between 0 and 1", "Write a number from 0 to 1."),
    ),
    (r"^Argument for ntile must.*", ("argument of ntile must be greater than zero", "Write ntile(4).")),
    (r"^LIMIT/OFFSET cannot be negative.*", ("LIMIT must not be negative", "Write LIMIT 10.")),
    (
        r"^Could not convert string '(.*)' to INTERVAL",
        (r"invalid input syntax for type interval: '\1'", _EXCLUDE),
    ),
    (r"^division by zero", ("division by zero", "Write NULLIF(divisor, 0) to get NULL instead.")),
    (r"Overflow in \w+ of INT64", ("bigint out of range", _WIDER)),
    (r"Overflow in \w+ of INT32", ("integer out of range", _WIDER)),
    (r"Overflow in \w+ of INT(16|8)", ("smallint out of range", _WIDER)),
    (r"^Overflow (?:on|in) .*", ("number out of range", _WIDER)),
    (rf"{_NO_ROOM} type INT64", ("bigint out of range", _WIDER)),
    (rf"{_NO_ROOM} type INT32", ("integer out of range", _WIDER)),
    (rf"{_NO_ROOM} type INT(16|8)", ("smallint out of range", _WIDER)),
    (
        r'^Could not convert string "(.*)" to DECIMAL\(38,20\)',
        (
            r"\1 is out of range of a NUMERIC within a statement: 18 digits before the point, 20 behind it",
            "Compute it in the outermost select list, cast it to float8, or exclude such rows with WHERE.",
        ),
    ),
    (
        r'^Could not convert string "(.*)" to DECIMAL\(',
        (r"\1 is out of range of a NUMERIC that is computed with 38 digits", _DOUBLE),
    ),
    (r"^Could not convert string '(.*)' to INT64", (r"invalid input syntax for type bigint: '\1'", _EXCLUDE)),
    (
        r"^Could not convert string '(.*)' to INT32",
        (r"invalid input syntax for type integer: '\1'", _EXCLUDE),
    ),
    (
        r"^Could not convert string '(.*)' to DOUBLE",
        (r"invalid input syntax for type double precision: '\1'", _EXCLUDE),
    ),
    (
        r"^Type VARCHAR with value '(.*)' can't be cast to the destination type",
        (r'malformed array literal: "\1"', "Write it as '{1,2}'."),
    ),
    (r"^Could not convert string '(.*)' to (\w+)", (r"invalid input syntax for type \2: '\1'", _EXCLUDE)),
    (r"^invalid input syntax .*", (r"\g<0>", _EXCLUDE)),
)
"""DuckDB's messages, with what PostgreSQL calls it and what to do."""
