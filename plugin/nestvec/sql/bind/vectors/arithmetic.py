"""Arithmetic over vectors, as in pgvector: sums, differences, multiples, and vectors of stored rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions import bind_condition
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.embed import bind_embed, check_same_space, is_embed, query_request
from nestvec.sql.bind.vectors.targets import (
    EmbeddedText,
    StoredVector,
    Term,
    VectorLiteral,
    VectorSum,
    check_text,
    column_vector,
    parse_vector,
)
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import IGNORED_PARTS, identifier_name, stray_parts, without_parens

MAX_VECTOR_TERMS: Final = 1_024
"""Terms of one sum: enough for a playlist, and few enough to embed while the user waits."""

Terms = tuple[tuple[float, Term], ...]
Value = float | Terms
"""A number, or vectors with their weights."""

_OPERATORS: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div)

_WRITE = (
    "Write 'text', EMBED('text'), '[0.1, …]', a parameter, (SELECT vector …), or their sums and multiples."
)


def is_vector_expression(node: exp.Expr) -> bool:
    """Whether a target is more than a text or a vector that the statement contains."""
    return isinstance(node, (*_OPERATORS, exp.Neg, exp.Subquery)) or is_embed(node)


def bind_vector_expression(scope: Scope, column: Column, node: exp.Expr) -> VectorSum:
    """Bind an expression over vectors of the column's dim. Raises SqlNotSupported, SqlTypeMismatch."""
    if column.type != "FLOAT_VECTOR":
        raise scope.source.not_supported(
            f"{construct_name(node)} as a vector for a {column.type}",
            node,
            "Pass one text, or use a float vector column.",
        )
    terms = _evaluate(scope, column, node)
    if not isinstance(terms, tuple):
        raise scope.source.type_mismatch(
            f"column {column.name} holds vectors, and this is a number", terms, node, _WRITE
        )
    if not all(math.isfinite(weight) for weight, _ in terms):
        raise scope.source.type_mismatch("a weight is not finite", "infinity", node, "Use smaller numbers.")
    return VectorSum(terms)


def _evaluate(scope: Scope, column: Column, node: exp.Expr) -> Value:
    """The value of a node. A loop follows the left side, since a chain may be as long as a statement."""
    pending: list[exp.Expr] = []
    node = without_parens(node)
    while isinstance(node, _OPERATORS):
        pending.append(node)
        node = without_parens(node.this)
    value = _leaf(scope, column, node)
    for operation in reversed(pending):
        right = _evaluate(scope, column, operation.args["expression"])
        value = _APPLIED[type(operation)](scope, operation, value, right)
        if isinstance(value, tuple) and len(value) > MAX_VECTOR_TERMS:
            raise scope.source.not_supported(
                f"a sum of more than {MAX_VECTOR_TERMS:,} vectors", node, "Add fewer."
            )
    return value


def _leaf(scope: Scope, column: Column, node: exp.Expr) -> Value:
    if isinstance(node, exp.Neg):
        return _times(-1.0, _evaluate(scope, column, node.this))
    if isinstance(node, exp.Literal) and not node.is_string:
        return float(str(node.this))
    if is_embed(node):
        return ((1.0, bind_embed(scope, column, node)),)
    if isinstance(node, exp.Subquery):
        return ((1.0, bind_stored(scope, column, node)),)
    if isinstance(node, exp.Cast):
        return _cast(scope, column, node)
    if isinstance(node, PARAMETER_NODES):
        return _parameter(scope, column, node)
    if isinstance(node, exp.Literal):
        return ((1.0, _text(scope, column, str(node.this), node)),)
    raise scope.source.not_supported(f"{construct_name(node)} as a vector", node, _WRITE)


def _cast(scope: Scope, column: Column, node: exp.Cast) -> Value:
    """``'[0.1, …]'::vector``."""
    if not is_vector_cast(node):
        raise scope.source.not_supported("a cast to anything but VECTOR", node, _WRITE)
    value = _leaf(scope, column, without_parens(node.this))
    if isinstance(value, tuple) and all(isinstance(term, VectorLiteral) for _, term in value):
        return value
    raise scope.source.type_mismatch(
        "this is not a vector",
        construct_name(without_parens(node.this)),
        node,
        "Write EMBED('text') to embed text.",
    )


def is_vector_cast(node: exp.Expr) -> bool:
    """Whether a node is ``… :: vector``."""
    return isinstance(node, exp.Cast) and node.args["to"].this == exp.DataType.Type.VECTOR


def _parameter(scope: Scope, column: Column, node: exp.Expr) -> Value:
    value = scope.params.value(scope.source, node)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, (list, tuple)):
        return ((1.0, VectorLiteral(column_vector(scope, column, value, node))),)
    return ((1.0, _text(scope, column, str(scope.constant(node)), node)),)


def _text(scope: Scope, column: Column, text: str, node: exp.Expr) -> Term:
    vector = parse_vector(text)
    if vector is not None:
        return VectorLiteral(column_vector(scope, column, vector, node))
    return EmbeddedText(check_text(scope, text, node), query_request(scope, column, node))


def _added(scope: Scope, node: exp.Expr, left: Value, right: Value) -> Value:
    return _sum(scope, node, left, right)


def _subtracted(scope: Scope, node: exp.Expr, left: Value, right: Value) -> Value:
    return _sum(scope, node, left, _times(-1.0, right))


def _sum(scope: Scope, node: exp.Expr, left: Value, right: Value) -> Value:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return left + right
    if isinstance(left, tuple) or isinstance(right, tuple):
        raise scope.source.type_mismatch(
            "a vector and a number cannot be added",
            construct_name(node),
            node,
            "Multiply, or add only vectors.",
        )
    return left + right


def _multiplied(scope: Scope, node: exp.Expr, left: Value, right: Value) -> Value:
    if isinstance(left, tuple) and isinstance(right, tuple):
        raise scope.source.not_supported("a vector times a vector", node, "Multiply a vector by a number.")
    return _times(left, right) if not isinstance(left, tuple) else _times(right, left)


def _divided(scope: Scope, node: exp.Expr, left: Value, right: Value) -> Value:
    if isinstance(right, tuple):
        raise scope.source.not_supported("division by a vector", node, "Divide by a number.")
    if right == 0:
        raise scope.source.type_mismatch("division by zero", right, node, "Divide by another number.")
    return (
        left / right
        if not isinstance(left, tuple)
        else tuple((weight / right, term) for weight, term in left)
    )


def _times(number: Value, value: Value) -> Value:
    factor = number if isinstance(number, (int, float)) else 1.0
    if not isinstance(value, tuple):
        return factor * value
    return tuple((factor * weight, term) for weight, term in value)


_APPLIED: Final[dict[type[exp.Expr], Callable[[Scope, exp.Expr, Value, Value], Value]]] = {
    exp.Add: _added,
    exp.Sub: _subtracted,
    exp.Mul: _multiplied,
    exp.Div: _divided,
}


_STORED_FORM = (
    "Write (SELECT vector_column FROM collection WHERE id = 7), or avg(vector_column) over several rows."
)
_VECTOR_AGGREGATES: Final[dict[type[exp.Expr], str]] = {exp.Avg: "avg", exp.Sum: "sum"}


def bind_stored(scope: Scope, column: Column, node: exp.Expr) -> StoredVector:
    """``(SELECT vector FROM papers WHERE id = 7)``: the vector of a stored row; with avg or sum, of several.

    Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported.
    """
    source, select = scope.source, node.this
    if not isinstance(select, exp.Select) or stray_parts(node, ("this",)):
        raise source.not_supported("this subquery", node, _STORED_FORM)
    stray = stray_parts(select, ("expressions", "from_", "where"))
    if stray:
        construct = stray[0].strip("_").replace("_", " ").upper()
        raise source.not_supported(f"{construct} in a subquery", node, _STORED_FORM)
    table = select.args["from_"].this if select.args.get("from_") else None
    if not isinstance(table, exp.Table) or stray_parts(table, ("this", "alias")):
        raise source.not_supported("a subquery on anything but a collection", node, _STORED_FORM)
    alias = table.args.get("alias")
    if alias is not None and stray_parts(alias, ("this",)):
        raise source.not_supported("column names after a table alias", alias, _STORED_FORM)
    inner_table = scope.context.tables.get(identifier_name(table.this))
    if inner_table is None:
        raise source.not_supported("a subquery on anything but a collection", node, _STORED_FORM)
    name = identifier_name(alias.this) if alias is not None else identifier_name(table.this)
    inner = replace(scope, table=inner_table, name=name)
    item = select.expressions[0] if len(select.expressions) == 1 else None
    aggregate = "" if item is None else _VECTOR_AGGREGATES.get(type(item), "")
    column_node = (
        item.this
        if item is not None and aggregate and not stray_parts(item, ("this", *IGNORED_PARTS))
        else item
    )
    if not isinstance(column_node, exp.Column):
        first = select.expressions[0] if select.expressions else node
        raise source.not_supported(f"{construct_name(first)} in a subquery select list", first, _STORED_FORM)
    stored_column = inner.column(column_node)
    if stored_column.type != column.type or stored_column.dim != column.dim:
        dims = f" of {stored_column.dim} dims" if stored_column.dim else ""
        raise source.type_mismatch(
            f"column {column.name} has vectors of {column.dim} dims",
            f"{stored_column.name}, {stored_column.type}{dims}",
            column_node,
            "Select a column of the same type and dim.",
        )
    embeddings = scope.table.embedding(column.name), inner_table.embedding(stored_column.name)
    check_same_space(source, *embeddings, column_node)
    where = select.args.get("where")
    condition = bind_condition(inner, where.this) if where is not None else None
    return StoredVector(inner_table.name, stored_column.name, condition, stored_column.dim or 0, aggregate)
