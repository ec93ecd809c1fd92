"""A condition as a Milvus filter expression.

Values are written as constants, because Milvus Lite has no filter templates. Only the grammar that Milvus
(Plan.g4) and Milvus Lite (milvus_lite.search.filter) read in the same way is used.
"""

from __future__ import annotations

import re

from nestvec.sql.bind.conditions.nodes import (
    And,
    Compare,
    CompareColumns,
    Condition,
    Contains,
    InList,
    IsNull,
    Like,
    Match,
    Not,
    Or,
)
from nestvec.sql.bind.scope import Value

_OPERATORS = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

_LENGTH = re.compile(r"array_length\((\w+)\)")
_ELEMENT = re.compile(r"(\w+)\[(\d+)\]")

# Escapes that both Milvus Lite's tokenizer and Milvus (Go's strconv.Unquote) read.
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def render_filter(condition: Condition | None) -> str:
    """The filter expression; empty for None."""
    return "" if condition is None else _render(_guarded(condition, by_row=_is_by_row(condition)))


def _is_by_row(condition: Condition) -> bool:
    """Whether Milvus Lite evaluates a filter row by row: for values inside JSON and arrays."""
    if isinstance(condition, (And, Or)):
        return any(_is_by_row(part) for part in condition.parts)
    if isinstance(condition, Not):
        return _is_by_row(condition.part)
    if isinstance(condition, CompareColumns):
        return False
    return isinstance(condition, Contains) or not condition.column.name.isidentifier()


def _guarded(condition: Condition, *, by_row: bool) -> Condition:
    """Exclude NULL from negations explicitly: in Milvus Lite, ``NULL not in [...]`` is true."""
    if isinstance(condition, (And, Or)):
        return type(condition)(tuple(_guarded(part, by_row=by_row) for part in condition.parts))
    if isinstance(condition, Like) and by_row:
        condition = _without_newline(condition)
        if isinstance(condition, (And, Or)):
            return _guarded(condition, by_row=False)
    if isinstance(condition, (IsNull, CompareColumns, Contains, Match, Not)) or not condition.column.nullable:
        return condition
    if _LENGTH.fullmatch(condition.column.name):
        # In Milvus Lite the length of NULL is 0.
        return And((IsNull(condition.column, negated=True), condition))
    negated = condition.operator == "!=" if isinstance(condition, Compare) else condition.negated
    return And((IsNull(condition.column, negated=True), condition)) if negated else condition


def _without_newline(condition: Like) -> Condition:
    """LIKE as it is: row by row, Milvus Lite ignores a line feed after the text that a pattern ends in."""
    if condition.pattern.endswith(("%", "\n")):
        return condition
    ended = Like(condition.column, "%\n", not condition.negated)
    return (Or if condition.negated else And)((condition, ended))


def _render(condition: Condition) -> str:
    if isinstance(condition, (And, Or)):
        word = " and " if isinstance(condition, And) else " or "
        return word.join(
            f"({_render(part)})" if isinstance(part, (And, Or)) else _render(part) for part in condition.parts
        )
    return _leaf(condition)


_Leaf = Compare | CompareColumns | InList | Like | IsNull | Contains | Match | Not


def _leaf(condition: _Leaf) -> str:
    if isinstance(condition, Not):
        return f"not ({_leaf(condition.part)})"
    if isinstance(condition, CompareColumns):
        return f"{condition.left.name} {_OPERATORS[condition.operator]} {condition.right.name}"
    name = condition.column.name
    if isinstance(condition, Contains):
        kind = "all" if condition.every else "any"
        return f"array_contains_{kind}({name}, [{_render_list(condition.values)}])"
    if isinstance(condition, Match):
        return f"text_match({name}, {literal(condition.text)})"
    if isinstance(condition, Compare):
        return f"{name} {_OPERATORS[condition.operator]} {literal(condition.value)}"
    if isinstance(condition, InList):
        return f"{name} {'not in' if condition.negated else 'in'} [{_render_list(condition.values)}]"
    if isinstance(condition, Like):
        like = f"{name} like {literal(condition.pattern)}"
        return f"not ({like})" if condition.negated else like
    return _null(name, negated=condition.negated)


def _null(name: str, *, negated: bool) -> str:
    """The NULL test of a column, a JSON value, the length of an array or one of its elements."""
    length, element = _LENGTH.fullmatch(name), _ELEMENT.fullmatch(name)
    if element:
        # Milvus has no NULL test for an element: it exists if the array is long enough.
        there = f"array_length({element[1]}) > {element[2]}"
        return there if negated else f"({element[1]} is null or not ({there}))"
    return f"{length[1] if length else name} {'is not null' if negated else 'is null'}"


def _render_list(values: tuple[Value, ...]) -> str:
    return ", ".join(literal(value) for value in values)


def literal(value: Value) -> str:
    """A value in Milvus's filter language. Texts are UTF-8 without NUL, floats are finite."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value.translate(_ESCAPES)}"' if isinstance(value, str) else repr(value)
