"""Errors as PostgreSQL reports them: one table from nestvec's errors to SQLSTATEs.

https://www.postgresql.org/docs/16/errcodes-appendix.html
"""

from __future__ import annotations

from typing import Final

from nestvec_schemas import errors
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.message_text import printable, shown

_MAX_TEXT: Final = 4000
"""Characters of a message, a hint or a detail."""


class PgError(Exception):
    """What an ErrorResponse or a NoticeResponse says."""

    severity = "ERROR"

    def __init__(
        self,
        sqlstate: str,
        message: str,
        *,
        hint: str = "",
        detail: str = "",
        position: int | None = None,
        severity: str = "ERROR",
        routine: str = "",
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message, self.hint, self.detail = message[:_MAX_TEXT], hint[:_MAX_TEXT], detail[:_MAX_TEXT]
        self.position = position
        """In characters from the start of the client's query, from 1; None for nowhere."""
        self.severity = severity
        self.routine = routine
        """PostgreSQL's function that reports it, where drivers recognise an error by it."""

    @property
    def fatal(self) -> bool:
        """Whether the connection ends with it."""
        return self.severity == "FATAL"


def result_type_changed() -> PgError:
    """A prepared statement has other columns than it was described with; drivers that get this error prepare
    it again."""
    return PgError("0A000", "cached plan must not change result type", routine="RevalidateCachedQuery")


SQLSTATES: Final[tuple[tuple[type[NestvecError], str], ...]] = (
    (errors.SqlSyntaxError, "42601"),
    (errors.SqlUnknownName, "42703"),
    (errors.SqlNullViolation, "23502"),
    (errors.SqlTypeMismatch, "22023"),
    (errors.SqlKeyExists, "23505"),
    (errors.SqlNotSupported, "0A000"),
    (errors.SqlError, "42000"),
    (errors.CollectionNotFound, "42P01"),
    (errors.CollectionExists, "42P07"),
    (errors.CollectionRetired, "55000"),
    (errors.StoreUnreachable, "08006"),
    (errors.StoreInUse, "55006"),
    (errors.StoreError, "58000"),
    (errors.ServiceBusy, "53000"),
    (errors.ServiceUnreachable, "08006"),
    (errors.ServiceError, "58000"),
    (errors.Overloaded, "53000"),
    (errors.DeadlineExceeded, "57014"),
    (errors.EngineError, "58000"),
    (errors.SpecError, "42601"),
    (errors.EncoderError, "42704"),
    (errors.FileUnreadable, "58P01"),
    (errors.IngestError, "22000"),
    (errors.DatasetError, "22000"),
    (errors.RequestError, "22000"),
    (NestvecError, "XX000"),
)
"""The SQLSTATE of each of nestvec's errors; the first match applies."""

_CAUSES: Final = (
    ("there is no collection of this name", "42P01"),
    ("a recursive query", "42P19"),
    ("recursive reference to query", "42P19"),
    ("there is no view of this name", "42P01"),
    ("there is no index of this name", "42704"),
    ("there is no such index method", "42704"),
    ("there is no such operator class", "42704"),
    ("there is no setting of this name", "42704"),
    ("is named twice", "42701"),
    ("is defined twice", "42701"),
    ("is specified more than once", "42701"),
    ("already has a column of this name", "42701"),
    ("more than one primary key", "42P16"),
    ("more than its max_length", "22001"),
    ("numeric field overflow", "22003"),
    ("is outside INT", "22003"),
    ("different vector dimensions", "22000"),
    ("vector must have at least", "22000"),
    ("set-returning function", "0A000"),
    ("aggregate function calls", "42803"),
    ("window function calls", "42P20"),
    ("a constant in ORDER BY", "42601"),
    ("a constant in GROUP BY", "42601"),
    ("a constant in DISTINCT ON", "42601"),
    ("operator does not exist", "42883"),
    ("wrong number of parameters for prepared", "42601"),
    ('" already exists', "42P05"),
    ('prepared statement "', "26000"),
    ("is VECTOR(", "22P02"),
    ("is JSONB", "22P02"),
    ("the FROM clause is missing", "42703"),
    ("INSERT without VALUES", "42601"),
    *((f"{clause} in {word}", "42601") for clause in ("LIMIT", "ORDER") for word in ("UPDATE", "DELETE")),
    ("must return at most one row", "21000"),
    ("cannot determine type of empty array", "42P18"),
    ("cannot affect row a second time", "21000"),
    ("must return one column", "42601"),
    ("takes an integer literal", "22P02"),
    ("RANGE frames must have", "42P20"),
    ("frame start", "42P20"),
    ("FILTER is not implemented", "0A000"),
    ("WITH names", "42712"),
    ("occurs twice in FROM", "42712"),
    ("is not an aggregate function", "42809"),
    ("is a Scalar Function", "42809"),
    ("could not convert type", "42846"),
    ("have a column of this name", "42702"),
    ("several columns of the query have this name", "42702"),
    ("without a target", "42601"),
    ("cannot cast type", "42846"),
    ("cannot be matched", "42804"),
    ("must be type", "42804"),
    ("but expression is of type", "42804"),
    ("cannot subscript type", "42804"),
    (") does not exist", "42883"),
    ("Unimplemented type for cast", "42846"),
    ("cannot be cast to", "42846"),
    ("this is not hexadecimal", "22023"),
    ("character number must be positive", "22023"),
    ("Cannot compare values", "42883"),
    ("Cannot mix values", "42804"),
    ("Cannot combine types", "42804"),
    ("Cannot concatenate lists", "42883"),
    ("Cannot deduce template type", "42883"),
    ("Subquery returns", "42601"),
    ("a vector is expected, not", "42883"),
    (" takes a string, not ", "42883"),
    ("an operator of JSONB takes", "42883"),
    ("there is no such type", "42704"),
    ("has no value", "42P02"),
    ("is not a table", "42809"),
    ("is not a view", "42809"),
    ("a view cannot read itself", "42P17"),
    ("on relation", "42809"),
    ("cannot copy", "42809"),
    ("into view", "55000"),
    ("update view", "55000"),
    ("from view", "55000"),
    ("of this name exists", "42P07"),
    ("a collection of this name already exists", "42P07"),
    ("FROM has no such table", "42P01"),
    ("the types of a column of", "42804"),
    ("but default expression is of type", "42804"),
    ("aggregate functions are not allowed", "42803"),
    ("Type with name", "42704"),
    ("square root of a negative number", "2201F"),
    ("zero raised to a negative power", "2201F"),
    ("a negative number has no fractional power", "2201F"),
    ("cannot take logarithm", "2201E"),
    ("LIMIT must not be negative", "2201W"),
    ("OFFSET must not be negative", "2201X"),
    ("lower bound cannot equal upper bound", "2201G"),
    ("count must be greater than zero", "2201G"),
    ("argument of ntile", "22014"),
    ("argument of nth_value", "22016"),
    ("thresholds array must not contain NULLs", "22004"),
    ("null values cannot be formatted", "22004"),
    ("dimension values cannot be null", "22004"),
    ("array size exceeds the maximum", "54000"),
    ("number of elements to trim", "2202E"),
    ("negative length", "22011"),
    ("null character not permitted", "54000"),
    ("requested character too large", "54000"),
    ("requested length too large", "54000"),
    ("factorial of a negative number", "22003"),
    ("percentile value is not between", "22003"),
    ("invalid escape string", "22025"),
    ("malformed array literal", "22P02"),
    ('invalid value "', "22007"),
    ("invalid input syntax for type date", "22007"),
    ("invalid input syntax for type time", "22007"),
    ("invalid input syntax for type interval", "22007"),
    ("invalid input syntax", "22P02"),
    ("is not a whole number", "22P02"),
    ("is not a finite number", "22P02"),
    ("is neither true nor false", "22P02"),
    ("this is not a uuid", "22P02"),
    ("Malformed JSON", "22P02"),
    ("More than one row returned by a subquery", "21000"),
    ("ORDER BY gives a position", "42P10"),
    ("ORDER BY expressions must be in the select list", "42P10"),
    ("cannot contain aggregates", "42803"),
    (" takes a number, not ", "42883"),
    (" takes an integer or a numeric, not ", "42883"),
    ("the aggregate takes ", "42883"),
    ("is not compared with", "42883"),
    ("a subscript takes", "42804"),
    ("the types of values of", "42804"),
    ("for a query within it", "42P01"),
    ("the keys of DISTINCT ON", "42P10"),
    (" names are for ", "42P10"),
    ("there is no unique constraint that ON CONFLICT", "42P10"),
    ("gives a position that", "42P10"),
    (" columns, but ", "42P10"),
    ("must not contain variables", "42P10"),
    ("the offset of a frame must", "22013"),
    ("cannot override", "42P20"),
    (", not a boolean", "42804"),
    ("takes a boolean", "42804"),
    ("requires an OVER clause", "42809"),
    ("window functions are not allowed in", "42P20"),
    ("must have the same number of columns", "42601"),
    ("division by zero", "22012"),
    ("field value out of range", "22008"),
    ("of range", "22003"),
    ("is ambiguous", "42702"),
    ("() does not exist", "42883"),
    ("does not take", "42883"),
    ("is neither in GROUP BY nor in an aggregate", "42803"),
    ("invalid regular expression", "2201B"),
)
"""What the cause of an error tells more precisely than its class."""


def to_pg_error(error: NestvecError, offset: int = 0) -> PgError:
    """What PostgreSQL would report for one of nestvec's errors.

    ``offset`` is where its statement starts in the client's query, in characters.
    """
    sqlstate = next(state for kind, state in SQLSTATES if isinstance(error, kind))
    if isinstance(error, errors.SqlError):
        sqlstate = next((state for cause, state in _CAUSES if cause in error.cause), sqlstate)
    value = "" if error.value is None else f": {shown(error.value)}"
    position = getattr(error, "position", None)
    has_place = position is not None and bool(getattr(error, "statement", ""))
    return PgError(
        sqlstate,
        f"{printable(error.cause)}{value}",
        hint=printable(error.next_step),
        position=offset + position + 1 if has_place and position is not None else None,
    )


def protocol_violation(message: str) -> PgError:
    """The client broke the protocol: the connection cannot go on."""
    return PgError("08P01", message, severity="FATAL")
