"""The operand of a condition: a column, an array element, a value inside JSON, an array length.

All of them are columns from here on, with names in Milvus's filter syntax: ``tags[0]``,
``meta["lang"]``, ``array_length(tags)``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from sqlglot import exp

from nestvec.milvus.catalog import DYNAMIC_COLUMN, Column
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import stray_parts, without_parens
from nestvec.sqltypes import is_mapped

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
_BY_PATH = (exp.JSONBExtract, exp.JSONBExtractScalar)
"""``#>`` and ``#>>``, whose steps are keys and indexes alike."""

_CASTS: Final = {
    exp.DataType.Type.INT: "INT64",
    exp.DataType.Type.BIGINT: "INT64",
    exp.DataType.Type.SMALLINT: "INT64",
    exp.DataType.Type.DOUBLE: "DOUBLE",
    exp.DataType.Type.DECIMAL: "DOUBLE",
    exp.DataType.Type.BOOLEAN: "BOOL",
    exp.DataType.Type.TEXT: "VARCHAR",
    exp.DataType.Type.VARCHAR: "VARCHAR",
}
_SAME_VALUES: Final = {
    exp.DataType.Type.BIGINT: INTEGERS,
    exp.DataType.Type.INT: INTEGERS - {"INT64"},
    exp.DataType.Type.DOUBLE: FLOATS,
    exp.DataType.Type.TEXT: STRINGS,
    exp.DataType.Type.VARCHAR: STRINGS,
    exp.DataType.Type.BOOLEAN: frozenset({"BOOL"}),
}
"""Casts that leave every value of a column of these types as it is."""

_SAFE_KEY = re.compile(r'[^"\\\x00-\x1f\x7f~/]+')
"""Keys that Milvus and Milvus Lite read in a filter as SQL has them."""

Form = Literal["column", "element", "length", "cardinality", "json"]


@dataclass(frozen=True)
class ConditionOperand:
    """What a condition is about."""

    column: Column
    """A column, or a part of it, under its name in a filter and with the type that it is compared as."""

    base: Column
    """The column that it is, or that it is a part of."""

    form: Form = "column"

    certain: bool = True
    """Whether Milvus and Milvus Lite read the same value here as PostgreSQL; else they may read more."""

    cast: bool = False
    """Of a JSON value: whether its text is cast."""


def is_operand(node: exp.Expr) -> bool:
    """Whether a node may be the operand of a condition, rather than a constant."""
    node = without_parens(node)
    if isinstance(node, exp.Cast):
        return is_operand(node.this)
    return isinstance(node, (exp.Column, exp.Bracket, exp.ArraySize, *_PATHS)) or _is_cardinality(node)


def operand(scope: Scope, node: exp.Expr) -> ConditionOperand:
    """The operand that a node is. Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported."""
    node = without_parens(node)
    if isinstance(node, exp.Cast):
        return _cast(scope, node)
    if isinstance(node, _PATHS):
        return _json_value(scope, node, "VARCHAR")
    if isinstance(node, exp.Bracket):
        return _element(scope, node)
    if isinstance(node, exp.ArraySize) or _is_cardinality(node):
        return _length(scope, node)
    if not isinstance(node, exp.Column):
        raise scope.source.not_supported(f"{construct_name(node)} in WHERE", node, CONDITION_FORM)
    column = filterable_column(scope, node)
    return ConditionOperand(column, column)


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
    """An array column. Raises SqlTypeMismatch for another column, SqlNotSupported for anything else."""
    node = without_parens(node)
    if not isinstance(node, exp.Column):
        raise scope.source.not_supported(f"{construct_name(node)} as an array", node, "Name an array column.")
    column = filterable_column(scope, node)
    if column.type == "JSON":
        raise scope.source.not_supported(
            "this operator on JSON", node, f"Compare a value inside it: {column.name}->>'key' = 'value'."
        )
    if column.type != "ARRAY":
        raise scope.source.type_mismatch(
            f"column {column.name} is not an array", column.type, node, "Use =, IN or LIKE."
        )
    return column


def element(column: Column) -> Column:
    """An element of an array column, under the name of the array."""
    return replace(
        column,
        type=column.type_params.element_type or "VARCHAR",
        type_params=replace(
            column.type_params, element_type=None, sql_type=column.type_params.sql_type.removesuffix("[]")
        ),
    )


def _is_cardinality(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this).lower() == "cardinality"


def _length(scope: Scope, node: exp.Expr) -> ConditionOperand:
    if isinstance(node, exp.ArraySize):
        inner, dimension = node.this, node.args.get("expression")
        # Without a dimension it is another dialect's ARRAY_SIZE, or an error in PostgreSQL.
        if dimension is None or scope.constant(dimension) != 1:
            raise scope.source.not_supported(
                "an array of several dimensions", dimension or node, "Write 1 here."
            )
    elif len(node.expressions) == 1:
        inner = node.expressions[0]
    else:
        raise scope.source.syntax_error("CARDINALITY takes one array", node, "Write cardinality(column).")
    column = array(scope, inner)
    length = Column(f"array_length({column.name})", "INT64", nullable=column.nullable)
    return ConditionOperand(length, column, "length" if isinstance(node, exp.ArraySize) else "cardinality")


def _element(scope: Scope, node: exp.Bracket) -> ConditionOperand:
    if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
        raise scope.source.not_supported("an array slice", node, "Select one element: tags[1].")
    column = array(scope, node.this)
    index = scope.constant(node.expressions[0])
    if not isinstance(index, int) or isinstance(index, bool):
        raise scope.source.type_mismatch(
            "array elements are numbered from 1", index, node.expressions[0], "Write tags[1]."
        )
    if not 0 < index < 1 << 31:
        raise scope.source.not_supported(
            "an array index below 1",
            node.expressions[0],
            "Array elements are numbered from 1: write tags[1].",
        )
    # Milvus counts from 0, PostgreSQL from 1.
    part = replace(element(column), name=f"{column.name}[{index - 1}]", nullable=True)
    return ConditionOperand(part, column, "element")


def _cast(scope: Scope, node: exp.Cast) -> ConditionOperand:
    inner = without_parens(node.this)
    kind = _CASTS.get(node.to.this)
    sized = bool(node.to.expressions)
    if isinstance(inner, _TEXTS) and kind is not None and not sized:
        value = _json_value(scope, inner, kind)
        return value if kind == "VARCHAR" else replace(value, cast=True)
    if is_operand(inner) and not sized:
        value = operand(scope, inner)
        stored_as_it_is = value.form != "json" and not is_mapped(value.column.type_params.sql_type)
        if stored_as_it_is and value.column.type in _SAME_VALUES.get(node.to.this, ()):
            return value
    raise scope.source.not_supported("this cast in WHERE", node, "Compare the column itself.")


def _json_value(scope: Scope, node: exp.Expr, kind: str) -> ConditionOperand:
    """A value inside a JSON column, as type ``kind``."""
    if not isinstance(node, _TEXTS):
        raise scope.source.not_supported(
            "-> at the end of a path", node, "Write ->> for a string, (… ->> 'key')::int for a number."
        )
    steps: list[str | int] = []
    inner: exp.Expr = node
    while isinstance(inner, _PATHS):
        steps = [*_steps(scope, inner), *steps]
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
    if not isinstance(steps[0], str) or not all(map(_is_plain_step, steps)):
        raise scope.source.not_supported("this JSON path in a Milvus filter", node, "Use plain keys.")
    path = "".join(f"[{json.dumps(step, ensure_ascii=False)}]" for step in steps)
    # Milvus takes a key of digits for an index too, and an index for such a key; Milvus Lite looks into JSON
    # that is a string inside "$meta".
    certain = not any(isinstance(step, int) or step.isdecimal() for step in steps)
    certain = certain and (column.name != DYNAMIC_COLUMN.name or len(steps) == 1)
    return ConditionOperand(Column(f"{column.name}{path}", kind, nullable=True), column, "json", certain)


def _is_plain_step(step: str | int) -> bool:
    """Whether Milvus reads no less by this step than PostgreSQL, to which a value is its own element 0."""
    return step > 0 if isinstance(step, int) else _SAFE_KEY.fullmatch(step) is not None


def _steps(scope: Scope, node: exp.Expr) -> list[str | int]:
    """The keys and indexes of one operator."""
    step = node.args["expression"]
    if isinstance(node, _BY_PATH):
        return _path_steps(scope, step)
    if isinstance(step, exp.JSONPath) and not stray_parts(step, ("expressions",)):
        names = [part for part in step.expressions if not isinstance(part, exp.JSONPathRoot)]
        if all(isinstance(part, (exp.JSONPathKey, exp.JSONPathSubscript)) for part in names):
            return [part.this if isinstance(part.this, int) else str(part.this) for part in names]
        raise scope.source.not_supported("this JSON path", step, "Name keys and indexes one by one.")
    key = scope.constant(step)
    if isinstance(key, str):
        return [key]
    if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < 1 << 31:
        return [key]
    raise scope.source.not_supported("this JSON path", step, "Name keys and indexes one by one.")


def _path_steps(scope: Scope, node: exp.Expr) -> list[str | int]:
    """The keys of ``'{a,b}'``; one of digits may be an index as well, which no filter says."""
    path = scope.constant(node)
    path_text = re.fullmatch(r"\{([^{}\"\\\s]+)\}", path) if isinstance(path, str) else None
    keys = path_text[1].split(",") if path_text else []
    if not keys or any(not key or key.lstrip("+-").isdecimal() for key in keys):
        raise scope.source.not_supported("this JSON path", node, "Name keys and indexes one by one.")
    return [*keys]
