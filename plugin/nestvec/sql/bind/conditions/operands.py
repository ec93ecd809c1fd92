"""The operand of a condition: a column, an array element, a value inside JSON, an array length.

All of them are columns from here on, with names in Milvus's filter syntax: ``tags[0]``,
``meta["lang"]``, ``array_length(tags)``.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import stray_parts, without_parens

CONDITION_FORM: Final = (
    "Compare a column with a constant (=, <>, <, <=, >, >=, IN, BETWEEN, LIKE, IS NULL), with AND, OR, NOT."
)

_FILTER_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_MILVUS_WORDS = """
    and or not in like is null exists true false iso interval text_match phrase_match random_sample
    json_contains json_contains_all json_contains_any array_contains array_contains_all array_contains_any
    array_length element_filter match_all match_any match_least match_most match_exact threshold
    minimum_should_match st_equals st_touches st_overlaps st_crosses st_contains st_intersects st_within
    st_dwithin st_isvalid"""
_RESERVED = frozenset(_MILVUS_WORDS.split())

_TEXTS = (exp.JSONExtractScalar, exp.JSONBExtractScalar)
_PATHS = (exp.JSONExtract, exp.JSONBExtract, *_TEXTS)
_CASTS: Final = {
    exp.DataType.Type.INT: "INT64",
    exp.DataType.Type.BIGINT: "INT64",
    exp.DataType.Type.SMALLINT: "INT64",
    exp.DataType.Type.DOUBLE: "DOUBLE",
    exp.DataType.Type.FLOAT: "DOUBLE",
    exp.DataType.Type.DECIMAL: "DOUBLE",
    exp.DataType.Type.BOOLEAN: "BOOL",
    exp.DataType.Type.TEXT: "VARCHAR",
    exp.DataType.Type.VARCHAR: "VARCHAR",
}


def is_operand(node: exp.Expr) -> bool:
    """Whether a node may be the operand of a condition, rather than a constant."""
    node = without_parens(node)
    if isinstance(node, exp.Cast):
        return is_operand(node.this)
    return isinstance(node, (exp.Column, exp.Bracket, exp.ArraySize, *_PATHS)) or _cardinality(node)


def operand(scope: Scope, node: exp.Expr) -> Column:
    """The column of an operand. Raises the errors of ``bind_condition``."""
    node = without_parens(node)
    if isinstance(node, exp.Cast):
        return _cast(scope, node)
    if isinstance(node, _PATHS):
        return _json_value(scope, node, "VARCHAR")
    if isinstance(node, exp.Bracket):
        return _element(scope, node)
    if isinstance(node, exp.ArraySize) or _cardinality(node):
        return _length(scope, node)
    if not isinstance(node, exp.Column):
        raise scope.source.not_supported(f"{construct_name(node)} in WHERE", node, CONDITION_FORM)
    column = filterable_column(scope, node)
    if column.is_vector:
        raise scope.source.type_mismatch(
            f"column {column.name} is a vector", column.type, node, "Order by its distance instead."
        )
    return column


def is_filterable(name: str) -> bool:
    """Whether this name is valid in a filter, where Milvus has no quoting (Plan.g4, Identifier, Meta)."""
    return name == "$meta" or (_FILTER_NAME.fullmatch(name) is not None and name.lower() not in _RESERVED)


def filterable_column(scope: Scope, node: exp.Column) -> Column:
    """A column whose name is valid in a filter. Raises SqlNotSupported."""
    column = scope.column(node)
    if not is_filterable(column.name):
        raise scope.source.not_supported(
            f"WHERE on a column named {column.name}",
            node,
            "The name is reserved in Milvus filters: rename it.",
        )
    return column


def array(scope: Scope, node: exp.Expr) -> Column:
    """An array column. Raises SqlTypeMismatch."""
    node = without_parens(node)
    if not isinstance(node, exp.Column):
        raise scope.source.not_supported(f"{construct_name(node)} as an array", node, "Name an array column.")
    column = filterable_column(scope, node)
    if column.type != "ARRAY":
        hint = f"Compare a value inside it: {column.name}->>'key' = 'value'."
        raise scope.source.type_mismatch(
            f"column {column.name} is not an array",
            column.type,
            node,
            hint if column.type == "JSON" else "Use =, IN or LIKE.",
        )
    return column


def element(column: Column) -> Column:
    """An element of an array column, under the name of the array."""
    return replace(
        column,
        type=column.type_params.element_type or "VARCHAR",
        type_params=replace(column.type_params, element_type=None),
    )


def inside_json(column: Column) -> bool:
    """Whether a value is inside JSON, where its type may differ from row to row."""
    return '["' in column.name


def _cardinality(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this).lower() == "cardinality"


def _length(scope: Scope, node: exp.Expr) -> Column:
    if isinstance(node, exp.ArraySize):
        inner, dimension = node.this, node.args.get("expression")
        if dimension is not None and scope.constant(dimension) != 1:
            raise scope.source.not_supported("an array of several dimensions", dimension, "Write 1 here.")
    elif len(node.expressions) == 1:
        inner = node.expressions[0]
    else:
        raise scope.source.syntax_error("CARDINALITY takes one array", node, "Write cardinality(column).")
    column = array(scope, inner)
    return Column(f"array_length({column.name})", "INT64", nullable=column.nullable)


def _element(scope: Scope, node: exp.Bracket) -> Column:
    if len(node.expressions) != 1:
        raise scope.source.not_supported("an array slice", node, "Select one element: tags[1].")
    column = array(scope, node.this)
    index = scope.constant(node.expressions[0])
    if not isinstance(index, int) or index < 1:
        raise scope.source.type_mismatch(
            "array elements are numbered from 1", index, node.expressions[0], "Write tags[1]."
        )
    # Milvus counts from 0, PostgreSQL from 1.
    return replace(element(column), name=f"{column.name}[{index - 1}]", nullable=True)


def _cast(scope: Scope, node: exp.Cast) -> Column:
    inner = without_parens(node.this)
    kind = _CASTS.get(node.to.this)
    if not isinstance(inner, _TEXTS) or kind is None:
        raise scope.source.not_supported(
            "a cast of anything but a JSON value to a number, a string or a boolean",
            node,
            "Write (meta->>'year')::int, or compare the column itself.",
        )
    return _json_value(scope, inner, kind)


def _json_value(scope: Scope, node: exp.Expr, kind: str) -> Column:
    """A value inside a JSON column, as type ``kind``."""
    if not isinstance(node, _TEXTS):
        raise scope.source.not_supported(
            "-> at the end of a path", node, "Write ->> for a string, (… ->> 'key')::int for a number."
        )
    steps: list[str | int] = []
    inner: exp.Expr = node
    while isinstance(inner, _PATHS):
        steps = [*_steps(scope, inner.args["expression"]), *steps]
        inner = without_parens(inner.this)
    if not isinstance(inner, exp.Column):
        raise scope.source.not_supported(
            f"{construct_name(inner)} in a JSON path", inner, "Name a JSON column."
        )
    column = filterable_column(scope, inner)
    if column.type != "JSON":
        raise scope.source.type_mismatch(
            f"column {column.name} is {column.type}, not JSON", column.name, inner, "Use =, IN or LIKE."
        )
    if not isinstance(steps[0], str):
        raise scope.source.not_supported(
            "an array at the top of a JSON value", node, "Milvus's JSON values are objects: name a key."
        )
    path = "".join(f"[{json.dumps(step, ensure_ascii=False)}]" for step in steps)
    return Column(f"{column.name}{path}", kind, nullable=True)


def _steps(scope: Scope, node: exp.Expr) -> list[str | int]:
    """The keys and indexes of one operator."""
    if isinstance(node, exp.JSONPath) and not stray_parts(node, ("expressions",)):
        names = [part for part in node.expressions if not isinstance(part, exp.JSONPathRoot)]
        if all(isinstance(part, (exp.JSONPathKey, exp.JSONPathSubscript)) for part in names):
            return [part.this if isinstance(part.this, int) else str(part.this) for part in names]
        raise scope.source.not_supported("this JSON path", node, "Name keys and indexes one by one.")
    key = scope.constant(node)
    if isinstance(key, int) and not isinstance(key, bool) and key >= 0:
        return [key]
    if not isinstance(key, str):
        raise scope.source.type_mismatch("a JSON path holds keys and indexes", key, node, "Write a string.")
    if key.startswith("{") and key.endswith("}"):
        return [int(part) if part.isdecimal() else part for part in key[1:-1].split(",")]
    return [key]
