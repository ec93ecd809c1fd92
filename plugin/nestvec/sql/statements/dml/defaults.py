"""Defaults that Milvus does not hold: nestvec evaluates them for the rows that it writes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.steps import Steps, drive
from nestvec.sql.bind.dml.defaults import default_query
from nestvec.sql.bind.dml.literals import CLOCKS, bind_value, is_computed
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import SourceText, without_parens
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.assigned import assigned
from nestvec.sql.statements.select import select_rows
from nestvec_schemas.errors import NestvecError, SqlNotSupported

T = TypeVar("T")

Defaults = Mapping[str, Iterator[object]]
"""By column, the values of the rows that lack it, one after the other."""

NO_DEFAULTS: Final[Defaults] = MappingProxyType({})

VOLATILE: Final = (
    *("clock_timestamp", "gen_random_uuid", "random", "timeofday"),
    *("uuid", "uuid_generate_v4", "uuidv4", "uuidv7"),
)
"""Functions that differ from row to row."""
_FILE_ROWS: Final = 1_000
"""Rows of a file whose values are computed at once."""


@dataclass(frozen=True)
class Default:
    """The default of a column, as a query computes it."""

    column: Column
    source: SourceText
    """The text of the query, or of the statement that defines the default."""
    node: exp.Expr

    @property
    def scope(self) -> Scope:
        """What its names refer to: nothing."""
        return Scope(self.source, Table("", (self.column,)), "", Params())

    @property
    def is_volatile(self) -> bool:
        """Whether every row has a value of its own."""
        return any(
            isinstance(node, (exp.Rand, exp.Uuid))
            or (isinstance(node, exp.Anonymous) and str(node.this).lower() in VOLATILE)
            for node in self.node.walk()
        )


@dataclass(frozen=True)
class ComputedColumn:
    """What a query computes for a default."""

    type: str
    """Milvus's name of the type, or DuckDB's."""
    values: list[Any]


def bind_with_defaults(
    session: Session,
    source: SourceText,
    node: exp.Table,
    needed: Callable[[Table], Sequence[str]],
    count: int,
    bind: Callable[[Table, Defaults], T],
) -> Steps[T]:
    """The result of ``bind`` for a table, and for the defaults of at most ``count`` rows in the columns that
    ``needed`` names. The table is read again if it changed and binding failed."""
    remembered = frozenset(session.tables)
    table = yield from session.table(source, node)
    try:
        return bind(table, (yield from _evaluated(session, table, needed(table), count)))
    except NestvecError:
        if not (yield from session.refresh_changed(node, remembered)):
            raise
    table = yield from session.table(source, node)
    return bind(table, (yield from _evaluated(session, table, needed(table), count)))


def _evaluated(session: Session, table: Table, names: Sequence[str], count: int) -> Steps[Defaults]:
    defaults = [table_default(table, name) for name in names if name in table.default_expressions]
    values = yield from default_values(session, defaults, count)
    return {
        default.column.name: iter(column) if default.is_volatile else repeat(column[0])
        for default, column in zip(defaults, values, strict=True)
    }


def file_defaults(table: Table) -> Defaults:
    """The defaults of a table for the rows of a file, without that of its key: a file whose ingest was
    interrupted would be stored a second time. Raises SqlError."""
    session, names = Session(), [name for name in table.default_expressions if name != table.primary.name]
    defaults = [table_default(table, name) for name in names]
    first = _run(default_values(session, defaults, 1)) if defaults else []

    def series(default: Default) -> Iterator[object]:
        while True:
            yield from _run(default_values(session, [default], _FILE_ROWS))[0]

    return {
        default.column.name: series(default) if default.is_volatile else repeat(values[0])
        for default, values in zip(defaults, first, strict=True)
    }


def _run(steps: Steps[T]) -> T:
    """The result of steps that ask Milvus nothing, as those of defaults."""
    return drive(cast(MilvusClient, None), steps)


def table_default(table: Table, name: str) -> Default:
    """The default of a column that nestvec evaluates. Raises SqlError."""
    source, node = default_query(table.default_expressions[name])
    return Default(next(column for column in table.columns if column.name == name), source, node)


def default_values(session: Session, defaults: Sequence[Default], count: int) -> Steps[list[list[Any]]]:
    """The values of each default, as its column is assigned them: ``count`` of a volatile one, else one.

    All have the same now(). Raises SqlError.
    """
    values: dict[int, list[Any]] = {}
    now = datetime.now(UTC)
    for at, default in enumerate(defaults):
        simple = _simple_values(default, count, now)
        if simple is not None:
            values[at] = simple
    if len(values) < len(defaults):
        computed = [at for at, default in enumerate(defaults) if at not in values or _has_clock(default)]
        rows = count if any(defaults[at].is_volatile for at in computed) else 1
        columns = yield from computed_values(session, [defaults[at] for at in computed], rows)
        values.update((at, column.values) for at, column in zip(computed, columns, strict=True))
    return [values[at] for at in range(len(defaults))]


def _simple_values(default: Default, count: int, now: datetime) -> list[Any] | None:
    """The values of a constant, of now() and of gen_random_uuid(); None if DuckDB computes them."""
    column, node = default.column, without_parens(default.node)
    if isinstance(node, exp.Uuid) and not node.args.get("this") and column.type_params.sql_type == "uuid":
        return [uuid.uuid4() for _ in range(count)]
    if isinstance(node, exp.CurrentTimestamp) and column.type_params.sql_type == "timestamptz":
        return [now]
    if is_computed(node) or _has_clock(default):
        return None
    try:
        return [bind_value(default.scope, node, column)]
    except SqlNotSupported:
        return None


def _has_clock(default: Default) -> bool:
    return default.node.find(*CLOCKS) is not None


def computed_values(session: Session, defaults: Sequence[Default], count: int) -> Steps[list[ComputedColumn]]:
    """What one query computes for defaults and as many rows. Raises SqlError."""
    items = [exp.alias_(default.node.copy(), f"default{at}") for at, default in enumerate(defaults)]
    select = exp.Select(expressions=items)
    if count > 1:
        bounds = exp.Literal.number(1), exp.Literal.number(count)
        series = exp.ExplodingGenerateSeries(start=bounds[0], end=bounds[1])
        select.set("from_", exp.From(this=exp.Table(this=series)))
    result = yield from select_rows(session, defaults[0].source, select, Params())
    columns = []
    for at, default in enumerate(defaults):
        kind = result.types[at]
        cells = [assigned(default.scope, row[at], default.column, default.node, kind) for row in result.rows]
        columns.append(ComputedColumn(kind, cells))
    return columns
