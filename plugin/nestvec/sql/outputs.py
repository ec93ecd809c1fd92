"""The select list: which columns the answer has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from nestvec.catalog import Column
from nestvec.sql.nearest import Kind, Nearest, bind_measure, measure
from nestvec.sql.scope import Scope
from nestvec.sql.source import folded, stray_parts
from nestvec.sql.words import words

_OUTPUTS = "A select list has columns, *, and the distance that ORDER BY has, each with or without AS."


@dataclass(frozen=True)
class Output:
    """One column of the answer: a column of the table, or what is made of the distance.

    ``distance`` is pgvector's number for the operator; ``similarity`` is one minus it.
    """

    name: str
    kind: Literal["column"] | Kind
    column: str = ""


def bind_outputs(scope: Scope, select: exp.Select, nearest: Nearest | None) -> tuple[Output, ...]:
    """The answer's columns; ``*`` is every column, vectors too. Raises the errors of ``bind_query``."""
    if not select.expressions:
        raise scope.source.syntax_error("the select list is empty", 0, "Name the columns, or write *.")
    found: dict[str, Output] = {}
    for node in select.expressions:
        for output in _bind_output(scope, node, nearest):
            if output.name in found:
                raise scope.source.not_supported(
                    f"a second column of the answer named {output.name}", node, "Rename one with AS."
                )
            found[output.name] = output
    return tuple(found.values())


def _bind_output(scope: Scope, node: exp.Expr, nearest: Nearest | None) -> list[Output]:
    inner, name = node, ""
    if isinstance(node, exp.Alias):
        inner, name = node.this, folded(node.args["alias"])
    star = inner.this if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star) else inner
    if isinstance(star, exp.Star) and not name:
        return _star(scope, inner, star)
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Column):
        column = scope.column(inner)
        _check_readable(scope, column, inner)
        return [Output(name or column.name, "column", column.name)]
    found = measure(inner)
    if found is None:
        raise scope.source.not_supported(f"{words(inner)} in the select list", inner, _OUTPUTS)
    if nearest is None:
        raise scope.source.not_supported(
            "a distance without ORDER BY the same distance", inner, "Add ORDER BY it, and LIMIT n."
        )
    if bind_measure(scope, found) != nearest:
        raise scope.source.not_supported("a distance other than the one in ORDER BY", inner, _OUTPUTS)
    return [Output(name or found.kind, found.kind)]


def _star(scope: Scope, node: exp.Expr, star: exp.Star) -> list[Output]:
    if stray_parts(star, ()) or (isinstance(node, exp.Column) and stray_parts(node, ("this", "table"))):
        raise scope.source.not_supported("* with more than a table's name", node, "Name the columns.")
    if isinstance(node, exp.Column):
        scope.check_qualifier(node)
    for column in scope.table.columns:
        _check_readable(scope, column, node)
    return [Output(column.name, "column", column.name) for column in scope.table.columns]


def _check_readable(scope: Scope, column: Column, node: exp.Expr) -> None:
    if column.is_vector and column.type != "FLOAT_VECTOR":
        raise scope.source.not_supported(
            f"reading column {column.name} ({column.type})", node, "Name the other columns."
        )
