"""Expressions: names become columns, and arguments are checked against the types of their functions.

Numbers with a fraction are doubles, integers have 64 bits, strings compare by code points, and JSON null is
NULL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.expressions import special_forms
from nestvec.sql.bind.expressions.functions import (
    AGGREGATES,
    BY_CLASS,
    BY_NAME,
    FUNCTION_NAMES,
    NUMBER,
    TRIMS,
    Function,
)
from nestvec.sql.bind.expressions.nodes import (
    AggregateCall,
    ColumnRef,
    Constant,
    Distance,
    FunctionCall,
)
from nestvec.sql.bind.expressions.typing import NULL, TypedExpression, check_kind, location_of
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import INTEGERS, Scope
from nestvec.sql.bind.vectors.ranking import Measure, Ranking, RerankScore, as_measure, bind_measure
from nestvec.sql.parse.construct_names import construct_name, function_name
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import IGNORED_PARTS, Position, stray_parts, without_parens
from nestvec.sqltypes import is_mapped, result_type
from nestvec_schemas.errors import nearest

MAX_EXPRESSION_DEPTH = 100
"""Nesting of operators and functions; a chain of AND, OR or || counts as one."""

_SUPPORTED = "Supported: operators, CASE, casts, and functions on numbers, strings, arrays, JSON and vectors."


@dataclass(frozen=True)
class ExpressionBinder:
    """Binds the expressions of one clause."""

    scope: Scope
    clause: str
    """The name of the clause in errors."""
    ranking: Ranking | RerankScore | None = None
    """What ranks the rows, whose value the expressions may contain."""
    allow_aggregates: bool = False

    def bind(self, node: exp.Expr) -> TypedExpression:
        """Bind one expression. Raises the errors of ``bind_query``."""
        _check_depth(self.scope, node)
        inner = without_parens(node)
        return self._column(inner, alone=True) if isinstance(inner, exp.Column) else self.bind_child(node)

    def bind_child(self, node: exp.Expr) -> TypedExpression:
        """Bind a part of an expression."""
        node = without_parens(node)
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, (exp.Literal, exp.Boolean, exp.Null, *PARAMETER_NODES)):
            return _constant(self.scope, node)
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
            return _constant(self.scope, node)
        measured = as_measure(node)
        if measured is not None and measured.kind != "similarity":
            return self._ranking_value(measured)
        if type(node) in AGGREGATES:
            return self._aggregate(node)
        bound = special_forms.bind_form(self, node)
        return bound if bound is not None else self._function(node)

    def _column(self, node: exp.Column, alone: bool = False) -> TypedExpression:
        column = self.scope.column(node)
        check_readable(self.scope, column, node)
        sql_type = column.type_params.sql_type
        if is_mapped(sql_type) and not alone:
            raise self.scope.source.not_supported(
                f"an expression of column {column.name}, whose type is {sql_type}",
                node,
                "Select the column itself.",
            )
        return TypedExpression(
            ColumnRef(column.name, location_of(self.scope.source, node)),
            result_type(column.type, sql_type),
            column.type_params.element_type,
        )

    def _ranking_value(self, measured: Measure) -> TypedExpression:
        source, node, kind = self.scope.source, measured.node, measured.kind
        if self.ranking is None:
            raise source.not_supported(
                f"a {kind} without ORDER BY the same {kind}", node, "Order by it, and add LIMIT n."
            )
        if bind_measure(self.scope, measured) != self.ranking:
            raise source.not_supported(
                f"a {kind} other than the one in ORDER BY", node, "Order by it, or run a separate query."
            )
        return TypedExpression(Distance(), "DOUBLE")

    def _aggregate(self, node: exp.Expr) -> TypedExpression:
        source, (name, kind) = self.scope.source, AGGREGATES[type(node)]
        if not self.allow_aggregates:
            raise source.not_supported(
                f"{construct_name(node)} in {self.clause}", node, "Aggregate in the select list."
            )
        inner, distinct = node.this, False
        if isinstance(inner, exp.Star):
            return TypedExpression(AggregateCall("count"), "INT64")
        if isinstance(inner, exp.Distinct):
            if len(inner.expressions) != 1 or stray_parts(inner, ("expressions",)):
                raise source.not_supported(f"{name} of several values", node, "Pass one.")
            inner, distinct = inner.expressions[0], True
        if inner is None or stray_parts(node, ("this", *IGNORED_PARTS)):
            raise source.not_supported(
                f"{construct_name(node)} with anything but one argument", node, "Pass one."
            )
        argument = replace(self, allow_aggregates=False, clause=f"{construct_name(node)}").bind_child(inner)
        check_kind(source, argument, kind, inner, construct_name(node))
        is_integer = argument.type in INTEGERS
        return_type = {"count": "INT64", "avg": "DOUBLE", "sum": "INT64" if is_integer else "DOUBLE"}.get(
            name, argument.type
        )
        return TypedExpression(
            AggregateCall(name, argument.expression, distinct, location_of(source, node)), return_type
        )

    def _function(self, node: exp.Expr) -> TypedExpression:
        function, arguments = self._resolve_function(node)
        source = self.scope.source
        minimum = len(function.argument_kinds) - function.optional
        if not minimum <= len(arguments) <= len(function.argument_kinds):
            raise source.type_mismatch(
                f"{function.name} takes {' and '.join(function.argument_kinds)}",
                f"{len(arguments)} given",
                node,
                "Pass those arguments.",
            )
        operands = [self.bind_child(argument) for argument in arguments]
        for operand, kind, argument in zip(operands, function.argument_kinds, arguments, strict=False):
            check_kind(source, operand, kind, argument, function.name)
        expressions = tuple(operand.expression for operand in operands)
        return_type = function.return_type
        if return_type == NUMBER:
            return_type = "INT64" if all(operand.type in INTEGERS for operand in operands) else "DOUBLE"
        return TypedExpression(
            FunctionCall(function.name, expressions, location_of(source, node)), return_type
        )

    def _resolve_function(self, node: exp.Expr) -> tuple[Function, list[exp.Expr]]:
        """The function that a node calls, and its arguments. Raises SqlNotSupported for an unknown one."""
        function = BY_CLASS.get(type(node))
        if isinstance(node, exp.Trim):
            function = TRIMS.get(str(node.args.get("position") or "").upper())
        if isinstance(node, exp.Anonymous):
            function = BY_NAME.get(str(node.this).lower())
            if function is not None:
                return function, list(node.expressions)
        if function is None or stray_parts(
            node, (*function.argument_parts, *function.ignored_parts, *IGNORED_PARTS)
        ):
            suggestion = (
                nearest(str(node.this).lower(), FUNCTION_NAMES) if isinstance(node, exp.Anonymous) else ""
            )
            raise self.scope.source.not_supported(
                f"{self._label(node)} in {self.clause}", self._position(node), f"{_SUPPORTED}{suggestion}"
            )
        return function, [
            node.args[part] for part in function.argument_parts if node.args.get(part) is not None
        ]

    def _label(self, node: exp.Expr) -> str:
        """The name of a function in the statement: sqlglot renames some as in other dialects."""
        has_class = isinstance(node, exp.Func) and not isinstance(node, exp.Anonymous)
        name = function_name(self.scope.source, node) if has_class else ""
        return f"the function {name.upper()}()" if name else construct_name(node)

    def _position(self, node: exp.Expr) -> Position:
        """The position of a function, which sqlglot loses for those without brackets (CURRENT_DATE)."""
        source, word = self.scope.source, type(node).__name__.upper()
        if any(part.meta.get("start") is not None for part in node.walk()):
            return node
        return next(
            (token.start for token in source.tokens if token.text.upper().replace("_", "") == word), None
        )


def check_readable(scope: Scope, column: Column, node: exp.Expr) -> None:
    """Raise SqlNotSupported for a column that Milvus does not return as numbers."""
    if column.is_vector and column.type != "FLOAT_VECTOR" and not column.type_params.sql_type:
        raise scope.source.not_supported(
            f"reading column {column.name} ({column.type})", node, "Select the other columns."
        )


def _constant(scope: Scope, node: exp.Expr) -> TypedExpression:
    value = scope.constant(node)
    if value is None:
        return TypedExpression(Constant(None), NULL)
    if isinstance(value, bool):
        return TypedExpression(Constant(value), "BOOL")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        if abs(value) > 1 << 1023:
            raise scope.source.type_mismatch("the number is out of range", "", node, "Use a smaller number.")
        value = float(value)
    kinds: dict[type[Any], str] = {int: "INT64", float: "DOUBLE", str: "VARCHAR"}
    return TypedExpression(Constant(value), kinds[type(value)])


def _check_depth(scope: Scope, node: exp.Expr) -> None:
    pending: list[tuple[exp.Expr, int]] = [(node, 0)]
    while pending:
        current, depth = pending.pop()
        if isinstance(current, VectorDistance):  # has its own bounds
            continue
        if depth > MAX_EXPRESSION_DEPTH:
            raise scope.source.syntax_error(
                f"an expression is nested more than {MAX_EXPRESSION_DEPTH} levels deep",
                current,
                "Simplify it.",
            )
        for child in current.iter_expressions():
            flat = isinstance(current, (exp.And, exp.Or, exp.DPipe)) and type(child) is type(current)
            pending.append((child, depth + (not flat)))
