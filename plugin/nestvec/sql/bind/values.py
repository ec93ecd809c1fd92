"""What a row that Milvus returns is turned into: a column, a constant, the distance, or the number of rows.

Every other expression is DuckDB's. ``BeyondMilvus`` says that a statement has one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.highlight import Highlight, bind_highlight, is_highlight
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope, Value
from nestvec.sql.bind.vectors.ranking import Measure, Ranking, RerankScore, as_measure, bind_measure
from nestvec.sql.parse.construct_names import construct_name, function_name
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import Position, SourceText, without_parens
from nestvec.sqltypes import result_type
from nestvec_schemas.errors import SqlNotSupported

MAX_EXPRESSION_DEPTH: Final = 100
"""Nesting of operators and functions; a chain of AND, OR or || counts as one."""

NULL: Final = "NULL"
"""The type of the constant NULL, which is compatible with every other."""

DistanceForm = Literal["", "similarity", "negative"]


class BeyondMilvus(SqlNotSupported):
    """An expression that Milvus does not compute, so that the statement is DuckDB's."""


@dataclass(frozen=True)
class ColumnRef:
    """A column of the table."""

    name: str
    position: int | None = field(default=None, compare=False, repr=False)
    """Its position in the statement."""


@dataclass(frozen=True)
class Constant:
    """A value; None is NULL."""

    value: Value | Decimal | None


@dataclass(frozen=True)
class Distance:
    """The value that ranks the rows, as its operator defines it, in one of pgvector's documented forms."""

    form: DistanceForm = ""
    """``similarity`` is 1 minus it, ``negative`` is minus it."""


@dataclass(frozen=True)
class RowCount:
    """``count(*)``, which Milvus counts."""


Expression = ColumnRef | Constant | Distance | RowCount | Highlight


@dataclass(frozen=True)
class TypedExpression:
    """An expression and its type, by Milvus's name."""

    expression: Expression
    type: str


def expression_sql(expression: Expression) -> str:
    """An expression in SQL notation."""
    if isinstance(expression, ColumnRef):
        return expression.name
    if isinstance(expression, Constant):
        return "NULL" if expression.value is None else repr(expression.value)
    if isinstance(expression, RowCount):
        return "count(*)"
    if isinstance(expression, Highlight):
        return f"highlight({expression.column})"
    return {"": "distance", "similarity": "(1 - distance)", "negative": "-distance"}[expression.form]


def not_native(source: SourceText, node: exp.Expr, clause: str) -> BeyondMilvus:
    """The error of an expression that Milvus does not compute."""
    return BeyondMilvus(
        f"{_label(source, node)} in {clause} is not supported",
        next_step="Milvus returns columns and distances; DuckDB computes the rest of a statement.",
        statement=source.text,
        position=source.position(_position(source, node)),
    )


def _label(source: SourceText, node: exp.Expr) -> str:
    """The name of a function in the statement: sqlglot renames some as in other dialects."""
    has_class = isinstance(node, exp.Func) and not isinstance(node, (exp.Anonymous, exp.AggFunc))
    name = function_name(source, node) if has_class else ""
    return f"the function {name.upper()}()" if name else construct_name(node)


def _position(source: SourceText, node: exp.Expr) -> Position:
    """The position of a function, which sqlglot loses for those without brackets (CURRENT_DATE)."""
    if any(part.meta.get("start") is not None for part in node.walk()):
        return node
    word = type(node).__name__.upper()
    return next((token.start for token in source.tokens if token.text.upper().replace("_", "") == word), None)


def distance_form(node: exp.Expr) -> tuple[DistanceForm, Measure] | None:
    """The form of a distance or a score that a node is; None for any other expression."""
    node = without_parens(node)
    measured = as_measure(node)
    if measured is not None and measured.kind != "similarity":
        return "", measured
    inner: exp.Expr | None = None
    form: DistanceForm = "negative"
    if isinstance(node, exp.Neg):
        inner = node.this
    elif isinstance(node, exp.Sub) and isinstance(node.this, exp.Literal) and node.this.name == "1":
        inner, form = node.args["expression"], "similarity"
    elif isinstance(node, exp.Mul):
        inner = next((side for side, other in _sides(node) if _is_minus_one(without_parens(other))), None)
    measured = as_measure(inner) if inner is not None else None
    return (form, measured) if measured is not None and measured.kind != "similarity" else None


def _sides(node: exp.Binary) -> tuple[tuple[exp.Expr, exp.Expr], ...]:
    left, right = node.this, node.args["expression"]
    return (left, right), (right, left)


def _is_minus_one(node: exp.Expr) -> bool:
    return isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and node.this.name == "1"


@dataclass(frozen=True)
class ValueBinder:
    """Binds the expressions of one clause, as far as Milvus computes them."""

    scope: Scope
    clause: str
    """The name of the clause in errors."""
    ranking: Ranking | RerankScore | None = None
    """What ranks the rows, whose value the expressions may contain."""
    counts: bool = False
    """Whether ``count(*)`` is allowed."""
    best_of_groups: bool = False
    """Whether the rows are the best of their groups, so that ``min`` of the distance is that of the row."""

    def bind(self, node: exp.Expr) -> TypedExpression:
        """Bind one expression. Raises BeyondMilvus, and the errors of ``bind_query``."""
        check_depth(self.scope.source, node)
        inner = without_parens(node)
        if isinstance(inner, exp.Column):
            return self._column(inner)
        if _is_constant(inner):
            return _constant(self.scope, inner)
        if is_highlight(inner):
            ranking = None if self.best_of_groups else self.ranking
            return TypedExpression(bind_highlight(self.scope, inner, ranking), "VARCHAR")
        if self.best_of_groups and isinstance(inner, (exp.Min, exp.Max)):
            return self._best(inner)
        distance = distance_form(inner)
        if distance is not None:
            return self._ranking_value(*distance)
        if self.counts and isinstance(inner, exp.Count) and isinstance(inner.this, exp.Star):
            return TypedExpression(RowCount(), "INT64")
        raise not_native(self.scope.source, inner, self.clause)

    def _best(self, node: exp.Expr) -> TypedExpression:
        """``min`` of what rises with the rank, or ``max`` of what falls, over the rows of a group."""
        distance = distance_form(node.this) if node.this is not None else None
        if distance is None or self.ranking is None:
            raise not_native(self.scope.source, node, self.clause)
        bound = self._ranking_value(*distance)
        rises = (distance[0] == "") is (distance[1].kind == "distance")
        if rises is not isinstance(node, exp.Min):
            raise not_native(self.scope.source, node, self.clause)
        return bound

    def _column(self, node: exp.Column) -> TypedExpression:
        column = self.scope.column(node)
        check_readable(self.scope, column, node)
        return TypedExpression(
            ColumnRef(column.name, self.scope.source.position(node)),
            result_type(column.type, column.type_params.sql_type),
        )

    def _ranking_value(self, form: DistanceForm, measured: Measure) -> TypedExpression:
        source, node, kind = self.scope.source, measured.node, measured.kind
        if self.ranking is None:
            raise source.not_supported(
                f"a {kind} without ORDER BY the same {kind}", node, "Order by it, and add LIMIT n."
            )
        if bind_measure(self.scope, measured) != self.ranking:
            raise source.not_supported(
                f"a {kind} other than the one in ORDER BY", node, "Order by it, or run a separate query."
            )
        return TypedExpression(Distance(form), "DOUBLE")


def check_readable(scope: Scope, column: Column, node: exp.Expr) -> None:
    """Raise SqlNotSupported for a column that Milvus does not return as numbers."""
    if column.is_vector and column.type != "FLOAT_VECTOR" and not column.type_params.sql_type:
        raise scope.source.not_supported(
            f"reading column {column.name} ({column.type})", node, "Select the other columns."
        )


def _is_constant(node: exp.Expr) -> bool:
    inner = node.this if isinstance(node, exp.Neg) else node
    if isinstance(node, exp.Neg):
        return isinstance(inner, exp.Literal) and not inner.is_string
    return isinstance(inner, (exp.Literal, exp.Boolean, exp.Null, *PARAMETER_NODES))


def _constant(scope: Scope, node: exp.Expr) -> TypedExpression:
    value = scope.constant(node)
    if value is None:
        return TypedExpression(Constant(None), NULL)
    if isinstance(value, bool):
        return TypedExpression(Constant(value), "BOOL")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise not_native(scope.source, node, "the select list")
    if isinstance(value, int) and -(1 << 31) <= value < 1 << 31:
        return TypedExpression(Constant(value), "INT32")
    kinds: dict[type[Any], str] = {int: "INT64", float: "DOUBLE", str: "VARCHAR"}
    return TypedExpression(Constant(value), kinds[type(value)])


def check_depth(source: SourceText, node: exp.Expr) -> None:
    """Raise SqlSyntaxError for an expression that is nested too deep."""
    pending: list[tuple[exp.Expr, int]] = [(node, 0)]
    while pending:
        current, depth = pending.pop()
        if isinstance(current, VectorDistance):  # has its own bounds
            continue
        if depth > MAX_EXPRESSION_DEPTH:
            raise source.syntax_error(
                f"an expression is nested more than {MAX_EXPRESSION_DEPTH} levels deep",
                current,
                "Simplify it.",
            )
        for child in current.iter_expressions():
            flat = isinstance(current, (exp.And, exp.Or, exp.DPipe)) and type(child) is type(current)
            pending.append((child, depth + (not flat)))
