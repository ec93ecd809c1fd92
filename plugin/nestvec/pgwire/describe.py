"""Types that are known before a statement runs: of its parameters, and of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlglot import exp

from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.steps import Steps
from nestvec.pgwire.catalog.rows import relation_oid
from nestvec.pgwire.outcome import field_of
from nestvec.pgwire.protocol.responses import Field
from nestvec.pgwire.types import oids
from nestvec.pgwire.types.milvus import column_modifier, column_oid, type_oid
from nestvec.sql.bind.params import PARAMETER_NODES, Params, bind_params, parameter_name
from nestvec.sql.bind.values import ColumnRef
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import identifier_name
from nestvec.sql.session import Session
from nestvec.sql.statements.select import plan_select
from nestvec_schemas.errors import NestvecError

MAX_PARAMETERS: Final = 65_535

_CASTS: Final = {
    exp.DType.BOOLEAN: oids.BOOL,
    exp.DType.SMALLINT: oids.INT2,
    exp.DType.INT: oids.INT4,
    exp.DType.BIGINT: oids.INT8,
    exp.DType.FLOAT: oids.FLOAT4,
    exp.DType.DOUBLE: oids.FLOAT8,
    exp.DType.DECIMAL: oids.NUMERIC,
    exp.DType.TEXT: oids.TEXT,
    exp.DType.VARCHAR: oids.VARCHAR,
    exp.DType.JSON: oids.JSON,
    exp.DType.JSONB: oids.JSONB,
    exp.DType.DATE: oids.DATE,
    exp.DType.TIME: oids.TIME,
    exp.DType.INTERVAL: oids.INTERVAL,
    exp.DType.TIMESTAMP: oids.TIMESTAMP,
    exp.DType.TIMESTAMPTZ: oids.TIMESTAMPTZ,
    exp.DType.UUID: oids.UUID,
    exp.DType.VARBINARY: oids.BYTEA,
    exp.DType.VECTOR: oids.VECTOR,
}
_WRAPPERS: Final = (exp.Paren, exp.Neg, exp.Any, exp.All)
_ROW_COUNTS: Final = (exp.Limit, exp.Offset, exp.Fetch)
_VECTOR_TYPES: Final = frozenset({oids.VECTOR, oids.HALFVEC, oids.SPARSEVEC, oids.BIT})
_ARITHMETIC: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_MOMENTS: Final = frozenset({oids.DATE, oids.TIME, oids.TIMESTAMP, oids.TIMESTAMPTZ})
_CONTAINING: Final = (exp.ArrayContainsAll, exp.ArrayContainedBy, exp.ArrayOverlaps, exp.DPipe)
"""Operators of arrays and JSON whose operands have one type."""
_JSON_PATHS: Final = (exp.JSONBExtract, exp.JSONBExtractScalar)
_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeNEQ, exp.NullSafeEQ)

SAMPLES: Final[Mapping[int, Any]] = {
    oids.BOOL: True,
    **dict.fromkeys(oids.INTEGERS, 1),
    oids.FLOAT4: 1.0,
    oids.FLOAT8: 1.0,
    oids.NUMERIC: Decimal(1),
    oids.DATE: date(2000, 1, 1),
    oids.TIME: time(),
    oids.TIMESTAMP: datetime(2000, 1, 1),
    oids.TIMESTAMPTZ: datetime(2000, 1, 1, tzinfo=UTC),
    oids.INTERVAL: timedelta(0),
    oids.UUID: UUID(int=0),
    oids.BYTEA: b"",
    oids.SPARSEVEC: {0: 1.0},
    oids.JSON: {},
    oids.JSONB: {},
}
"""A value of each type, with which a statement is planned before its parameters have values."""


def cast_oid(node: exp.Expr | None) -> int:
    """The type of a cast's target; text for one that is not known here."""
    if not isinstance(node, exp.DataType):
        return oids.TEXT
    if node.this == exp.DType.ARRAY and node.expressions:
        return oids.array_of(cast_oid(node.expressions[0]))
    name = str(node.args.get("kind") or "").lower().rpartition(".")[2].strip('"')
    named = oids.BY_NAME.get(name)
    return named.oid if named is not None else _CASTS.get(node.this, oids.TEXT)


class ParameterTypes:
    """The types of a statement's parameters, inferred from what they stand beside."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables = tuple(tables)

    def infer(self, tree: exp.Expr, declared: Sequence[int]) -> tuple[int, ...]:
        """A type for each parameter; ``declared`` are those that the client named, 0 for none."""
        inferred = dict[int, int]()
        for node in tree.find_all(*PARAMETER_NODES):
            name = parameter_name(node)
            if name is not None and name.isdecimal() and 0 < int(name) <= MAX_PARAMETERS:
                number = int(name)
                oid = self._of(node)
                if oid or number not in inferred:
                    inferred[number] = oid or inferred.get(number, 0)
        count = max([len(declared), *inferred])
        return tuple(
            (declared[index] if index < len(declared) else 0) or inferred.get(index + 1, 0) or oids.TEXT
            for index in range(count)
        )

    def _of(self, node: exp.Expr) -> int:
        """The type of a parameter; 0 if nothing says it."""
        child, parent, inside_any = node, node.parent, False
        while isinstance(parent, _WRAPPERS):
            inside_any |= isinstance(parent, (exp.Any, exp.All))
            child, parent = parent, parent.parent
        if isinstance(parent, exp.Cast):
            return cast_oid(parent.args.get("to"))
        if isinstance(parent, _ROW_COUNTS):
            return oids.INT8
        if isinstance(parent, VectorDistance):
            return self._vector(parent.this if parent.expression is child else parent.expression)
        if isinstance(parent, exp.Tuple):
            return self._of_tuple(child, parent)
        if isinstance(parent, (*_COMPARISONS, *_ARITHMETIC)):
            other = parent.expression if parent.this is child else parent.this
            oid = self._type(other)
            if isinstance(parent, exp.Add) and oid in _MOMENTS:
                return oids.INTERVAL
            return oids.array_of(oid) if inside_any and oid else oid
        if isinstance(parent, (exp.In, exp.Between)):
            return self._type(parent.this)
        if isinstance(parent, _CONTAINING):
            return self._container(parent.expression if parent.this is child else parent.this)
        if isinstance(parent, _JSON_PATHS) and parent.expression is child:
            return oids.array_of(oids.TEXT)
        return 0

    def _container(self, node: exp.Expr | None) -> int:
        """The type of an operand that is an array or JSON; 0 for another one."""
        oid = self._type(node)
        return oid if oid in (oids.JSON, oids.JSONB) or oids.element_of(oid) else 0

    def _of_tuple(self, child: exp.Expr, parent: exp.Tuple) -> int:
        """A value of INSERT's VALUES, in the place of a column."""
        insert = parent.find_ancestor(exp.Insert)
        if insert is None or not isinstance(parent.parent, exp.Values):
            return 0
        position = next(index for index, node in enumerate(parent.expressions) if node is child)
        schema = insert.this
        if isinstance(schema, exp.Schema):
            names = [identifier_name(node) for node in schema.expressions if isinstance(node, exp.Identifier)]
        else:
            filled = [table.generated for table in self._tables]
            names = [
                column.name
                for table in self._tables[:1]
                for column in table.columns
                if not column.auto_id and column.name not in filled[0]
            ]
        return self._named(names[position]) if position < len(names) else 0

    def _type(self, node: exp.Expr | None) -> int:
        """The type of the other operand."""
        if isinstance(node, exp.Paren):
            return self._type(node.this)
        if isinstance(node, exp.Column):
            return self._named(identifier_name(node.this)) if isinstance(node.this, exp.Identifier) else 0
        if isinstance(node, exp.Cast):
            return cast_oid(node.args.get("to"))
        if isinstance(node, exp.Literal):
            return oids.TEXT if node.is_string else oids.INT4 if "." not in str(node.this) else oids.NUMERIC
        if isinstance(node, exp.Boolean):
            return oids.BOOL
        if isinstance(node, VectorDistance):
            return oids.FLOAT8
        if isinstance(node, (exp.Count, exp.Length)):
            return oids.INT8
        if isinstance(node, (exp.JSONExtract, exp.JSONBExtract)):
            return oids.JSONB
        if isinstance(node, exp.Array):
            return oids.array_of(self._type(node.expressions[0]) or oids.TEXT) if node.expressions else 0
        if isinstance(node, _ARITHMETIC):
            return self._type(node.this) or self._type(node.expression)
        return 0

    def _named(self, name: str) -> int:
        column = self._column(name)
        return column_oid(column) if column is not None else 0

    def _column(self, name: str) -> Column | None:
        columns = (table.column(name) for table in self._tables)
        return next((column for column in columns if column is not None), None)

    def _vector(self, node: exp.Expr | None) -> int:
        """Beside a column that the service embeds, a text; beside another one, a vector."""
        if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier):
            return oids.VECTOR
        name = identifier_name(node.this)
        if any(name in table.generated for table in self._tables):
            return oids.TEXT
        oid = self._named(name)
        return oid if oid in (oids.HALFVEC, oids.SPARSEVEC, oids.BIT) else oids.VECTOR


def read_tables(session: Session, parsed: ParsedStatement) -> Steps[tuple[Table, ...]]:
    """The collections that a statement names; those that do not exist are passed over."""
    yield from session.refresh_aged(parsed.tree)
    tables = list[Table]()
    for node in parsed.tree.find_all(exp.Table):
        if isinstance(node.this, exp.Identifier):
            try:
                tables.append((yield from session.table(parsed.source, node)))
            except NestvecError:
                continue
    return tuple(tables)


def describe_columns(
    session: Session, parsed: ParsedStatement, types: Sequence[int], tables: Sequence[Table]
) -> Steps[tuple[Field, ...] | None]:
    """The columns of a SELECT, or of RETURNING, by its plan; None if only its execution tells them."""
    tree = parsed.tree
    if parsed.explain_tokens:
        return (field_of("QUERY PLAN", oids.TEXT),)
    if isinstance(tree, (exp.Insert, exp.Update, exp.Delete)):
        return _returning(tree, tables)
    if not isinstance(tree, exp.Select):
        return None
    params = bind_params(sample_values(tree, types, tables))
    try:
        plan = yield from plan_select(session, parsed, params if types else Params())
    except NestvecError:
        return None
    outputs = getattr(plan, "outputs", None)
    if outputs is None:
        return None
    return tuple(_output_field(output, tables) for output in outputs)


def _output_field(output: Any, tables: Sequence[Table]) -> Field:
    """A column of a plan's result; its type is 0 if only the values tell it."""
    expression = getattr(output, "expression", None)
    if isinstance(expression, ColumnRef):
        table = next((table for table in tables if table.column(expression.name) is not None), None)
        column = None if table is None else table.column(expression.name)
        if table is not None and column is not None:
            field = field_of(output.name, column_oid(column), column_modifier(column))
            return replace(field, table=relation_oid(table.name), column=table.columns.index(column) + 1)
    return field_of(output.name, type_oid(output.type))


def sample_values(tree: exp.Expr, types: Sequence[int], tables: Sequence[Table]) -> list[Any]:
    """A value for each parameter, of its type."""
    return [_sample(oid, tree, number, tables) for number, oid in enumerate(types, 1)]


def null_values(tree: exp.Expr, types: Sequence[int], tables: Sequence[Table]) -> list[Any]:
    """NULL for each parameter, which no function refuses; but a vector to search for, and LIMIT 0."""
    limits = {parameter_name(node) for node in tree.find_all(*PARAMETER_NODES) if _is_limit(node)}
    return [
        _sample(oid, tree, number, tables) if oid in _VECTOR_TYPES else 0 if str(number) in limits else None
        for number, oid in enumerate(types, 1)
    ]


def _is_limit(node: exp.Expr) -> bool:
    return isinstance(node.find_ancestor(*_ROW_COUNTS, exp.Query), _ROW_COUNTS)


def _sample(oid: int, tree: exp.Expr, number: int, tables: Sequence[Table]) -> Any:
    if oid in oids.DENSE_VECTORS:
        return [1.0] * _dim(tree, number, tables)
    if oid == oids.BIT:
        return "1" * _dim(tree, number, tables)
    if oids.element_of(oid):
        return [SAMPLES.get(oids.element_of(oid), "a")]
    return SAMPLES.get(oid, "a")


def _dim(tree: exp.Expr, number: int, tables: Sequence[Table]) -> int:
    """The dim of the vector that a parameter is compared with."""
    for node in tree.find_all(VectorDistance):
        sides = (node.this, node.expression)
        names = {
            name
            for side in sides
            for part in side.find_all(*PARAMETER_NODES)
            if (name := parameter_name(part))
        }
        columns = (column for side in sides for column in side.find_all(exp.Column))
        if str(number) in names:
            for column in columns:
                for table in tables:
                    described = table.column(identifier_name(column.this))
                    if described is not None and described.dim:
                        # A bit string's own length: Milvus rounds its dim up to whole bytes.
                        return column_modifier(described)
    return 3


def _returning(tree: exp.Expr, tables: Sequence[Table]) -> tuple[Field, ...] | None:
    returning = tree.args.get("returning")
    if returning is None:
        return ()
    fields = list[Field]()
    for node in returning.expressions:
        if isinstance(node, exp.Star):
            columns = [column for table in tables[:1] for column in table.columns]
            fields += (
                field_of(column.name, column_oid(column), column_modifier(column)) for column in columns
            )
            continue
        inner = node.this if isinstance(node, exp.Alias) else node
        column = _named_column(inner, tables)
        if column is None:
            return None
        fields.append(field_of(node.alias_or_name, column_oid(column), column_modifier(column)))
    return tuple(fields)


def _named_column(node: exp.Expr, tables: Sequence[Table]) -> Column | None:
    if not isinstance(node, exp.Column):
        return None
    columns = (table.column(identifier_name(node.this)) for table in tables)
    return next((column for column in columns if column is not None), None)
