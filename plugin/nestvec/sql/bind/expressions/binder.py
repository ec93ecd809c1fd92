"""Expressions: names are columns, every argument has a type that its function takes.

Numbers with a fraction are doubles, whole numbers have 64 bits; texts are compared by code points. A value
that is null inside JSON is NULL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.expressions import special_forms
from nestvec.sql.bind.expressions.expressions import Apply, Constant, Distance, Field, Summary
from nestvec.sql.bind.expressions.functions import (
    BY_CLASS,
    BY_NAME,
    NAMES,
    NUMBER,
    QUIET,
    SUMMARIES,
    TRIMS,
    Function,
)
from nestvec.sql.bind.expressions.naming import called
from nestvec.sql.bind.expressions.typing import NULL, Typed, check, mark
from nestvec.sql.bind.params import NODES
from nestvec.sql.bind.scope import INTEGERS, Scope
from nestvec.sql.bind.vectors.nearest import Measure, Ranking, Reranked, bind_measure, measure
from nestvec.sql.parse.construct_names import words
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import Place, stray_parts
from nestvec_schemas.errors import nearest

MAX_DEPTH = 100
"""Operators and functions inside one another; chains of AND, OR and || count as one."""

_OFFERED = "There are operators, CASE, casts, and functions of numbers, texts, arrays, JSON and vectors."


@dataclass(frozen=True)
class Reader:
    """Binds the expressions of one place in a statement.

    ``place`` is what errors call it; ``nearest`` what the rows are ranked by, whose distance an expression
    may hold; ``summaries`` says whether aggregates may stand there.
    """

    scope: Scope
    place: str
    nearest: Ranking | Reranked | None = None
    summaries: bool = False

    def bind(self, node: exp.Expr) -> Typed:
        """Bind one expression. Raises the errors of ``bind_query``."""
        _check_depth(self.scope, node)
        return self.inner(node)

    def inner(self, node: exp.Expr) -> Typed:
        """The same for a part of an expression."""
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, (exp.Literal, exp.Boolean, exp.Null, *NODES)):
            return _constant(self.scope, node)
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
            return _constant(self.scope, node)
        found = measure(node)
        if found is not None and found.kind != "similarity":
            return self._measured(found)
        if type(node) in SUMMARIES:
            return self._summary(node)
        bound = special_forms.bind_form(self, node)
        return bound if bound is not None else self._function(node)

    def _column(self, node: exp.Column) -> Typed:
        column = self.scope.column(node)
        check_readable(self.scope, column, node)
        return Typed(Field(column.name, mark(self.scope.source, node)), column.type, column.element_type)

    def _measured(self, found: Measure) -> Typed:
        source, node, kind = self.scope.source, found.node, found.kind
        if self.nearest is None:
            raise source.not_supported(
                f"a {kind} without ORDER BY the same {kind}", node, "Add ORDER BY it, and LIMIT n."
            )
        if bind_measure(self.scope, found) != self.nearest:
            raise source.not_supported(
                f"a {kind} other than the one in ORDER BY", node, "Order by it, or ask for it by itself."
            )
        return Typed(Distance(), "DOUBLE")

    def _summary(self, node: exp.Expr) -> Typed:
        source, (name, kind) = self.scope.source, SUMMARIES[type(node)]
        if not self.summaries:
            raise source.not_supported(
                f"{words(node)} in {self.place}", node, "Aggregate in the select list."
            )
        inner, distinct = node.this, False
        if isinstance(inner, exp.Star):
            return Typed(Summary("count"), "INT64")
        if isinstance(inner, exp.Distinct):
            if len(inner.expressions) != 1 or stray_parts(inner, ("expressions",)):
                raise source.not_supported(f"{name} of several values", node, "Give it one.")
            inner, distinct = inner.expressions[0], True
        if inner is None or stray_parts(node, ("this", *QUIET)):
            raise source.not_supported(f"{words(node)} with other than one value", node, "Give it one.")
        typed = replace(self, summaries=False, place=f"{words(node)}").inner(inner)
        check(source, typed, kind, inner, words(node))
        whole = typed.type in INTEGERS
        gives = {"count": "INT64", "avg": "DOUBLE", "sum": "INT64" if whole else "DOUBLE"}.get(
            name, typed.type
        )
        return Typed(Summary(name, typed.expression, distinct, mark(source, node)), gives)

    def _function(self, node: exp.Expr) -> Typed:
        function, arguments = self._looked_up(node)
        source = self.scope.source
        least = len(function.takes) - function.optional
        if not least <= len(arguments) <= len(function.takes):
            raise source.type_mismatch(
                f"{function.name} takes {' and '.join(function.takes)}",
                f"{len(arguments)} given",
                node,
                "Give as many.",
            )
        found = [self.inner(one) for one in arguments]
        for typed, kind, at in zip(found, function.takes, arguments, strict=False):
            check(source, typed, kind, at, function.name)
        expressions = tuple(one.expression for one in found)
        gives = function.gives
        if gives == NUMBER:
            gives = "INT64" if all(one.type in INTEGERS for one in found) else "DOUBLE"
        return Typed(Apply(function.name, expressions, mark(source, node)), gives)

    def _looked_up(self, node: exp.Expr) -> tuple[Function, list[exp.Expr]]:
        """A function and its arguments, of which none is left out."""
        function = BY_CLASS.get(type(node))
        if isinstance(node, exp.Trim):
            function = TRIMS.get(str(node.args.get("position") or "").upper())
        if isinstance(node, exp.Anonymous):
            function = BY_NAME.get(str(node.this).lower())
            if function is not None:
                return function, list(node.expressions)
        if function is None or stray_parts(node, (*function.parts, *function.anything, *QUIET)):
            near = nearest(str(node.this).lower(), NAMES) if isinstance(node, exp.Anonymous) else ""
            raise self.scope.source.not_supported(
                f"{self._named(node)} in {self.place}", self._place(node), f"{_OFFERED}{near}"
            )
        return function, [node.args[part] for part in function.parts if node.args.get(part) is not None]

    def _named(self, node: exp.Expr) -> str:
        """What a function is called in the statement: sqlglot calls some by other dialects' names."""
        known = isinstance(node, exp.Func) and not isinstance(node, exp.Anonymous)
        name = called(self.scope.source, node) if known else ""
        return f"the function {name.upper()}()" if name else words(node)

    def _place(self, node: exp.Expr) -> Place:
        """Where a function stands; sqlglot forgets it of those that are one word (CURRENT_DATE)."""
        source, word = self.scope.source, type(node).__name__.upper()
        if any(one.meta.get("start") is not None for one in node.walk()):
            return node
        return next((one.start for one in source.tokens if one.text.upper().replace("_", "") == word), None)


def check_readable(scope: Scope, column: Column, node: exp.Expr) -> None:
    """Raise SqlNotSupported for a column whose values Milvus does not give, or not as numbers."""
    if column.is_vector and column.type != "FLOAT_VECTOR":
        raise scope.source.not_supported(
            f"reading column {column.name} ({column.type})", node, "Name the other columns."
        )


def _constant(scope: Scope, node: exp.Expr) -> Typed:
    value = scope.constant(node)
    if value is None:
        return Typed(Constant(None), NULL)
    if isinstance(value, bool):
        return Typed(Constant(value), "BOOL")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        if abs(value) > 1 << 1023:
            raise scope.source.type_mismatch("this number is out of range", "", node, "Write a smaller one.")
        value = float(value)
    kinds: dict[type[Any], str] = {int: "INT64", float: "DOUBLE", str: "VARCHAR"}
    return Typed(Constant(value), kinds[type(value)])


def _check_depth(scope: Scope, node: exp.Expr) -> None:
    waiting: list[tuple[exp.Expr, int]] = [(node, 0)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, VectorDistance):  # has bounds of its own
            continue
        if depth > MAX_DEPTH:
            raise scope.source.syntax_error(
                f"an expression is nested more than {MAX_DEPTH} deep", one, "Simplify it."
            )
        for child in one.iter_expressions():
            flat = isinstance(one, (exp.And, exp.Or, exp.DPipe)) and type(child) is type(one)
            waiting.append((child, depth + (not flat)))
