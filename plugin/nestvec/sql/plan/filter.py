"""A condition as a Milvus filter expression.

Values stand in it as constants, because Milvus Lite has no filter templates. The grammar is the part that
both engines read alike: Milvus's Plan.g4 and milvus_lite.search.filter.
"""

from __future__ import annotations

import re

from nestvec.sql.bind.conditions.nodes import (
    Compare,
    Condition,
    Contains,
    Denied,
    Either,
    Every,
    IsNull,
    Like,
    Match,
    Member,
    Pair,
)
from nestvec.sql.bind.scope import Value

_OPERATORS = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

_LENGTH = re.compile(r"array_length\((\w+)\)")
_ELEMENT = re.compile(r"(\w+)\[(\d+)\]")

# Escapes that Milvus Lite's tokenizer and Go's strconv.Unquote, with which Milvus reads, both know.
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def render_filter(condition: Condition | None) -> str:
    """The filter expression; empty for None. The columns' names are such as Milvus reads."""
    return "" if condition is None else _render(_guarded(condition))


def _guarded(condition: Condition) -> Condition:
    """Keep NULL out of negations by name: Milvus Lite counts a NULL as being not in a list."""
    if isinstance(condition, (Every, Either)):
        return type(condition)(tuple(_guarded(part) for part in condition.parts))
    if isinstance(condition, (IsNull, Pair, Contains, Match, Denied)) or not condition.column.nullable:
        return condition
    if _LENGTH.fullmatch(condition.column.name):
        # Milvus Lite has a length of 0 for NULL.
        return Every((IsNull(condition.column, negated=True), condition))
    negated = condition.operator == "!=" if isinstance(condition, Compare) else condition.negated
    return Every((IsNull(condition.column, negated=True), condition)) if negated else condition


def _render(condition: Condition) -> str:
    if isinstance(condition, (Every, Either)):
        word = " and " if isinstance(condition, Every) else " or "
        return word.join(
            f"({_render(part)})" if isinstance(part, (Every, Either)) else _render(part)
            for part in condition.parts
        )
    return _leaf(condition)


_Leaf = Compare | Pair | Member | Like | IsNull | Contains | Match | Denied


def _leaf(condition: _Leaf) -> str:
    if isinstance(condition, Denied):
        return f"not ({_leaf(condition.part)})"
    if isinstance(condition, Pair):
        return f"{condition.left.name} {_OPERATORS[condition.operator]} {condition.right.name}"
    name = condition.column.name
    if isinstance(condition, Contains):
        kind = "all" if condition.every else "any"
        return f"array_contains_{kind}({name}, [{_render_list(condition.values)}])"
    if isinstance(condition, Match):
        return f"text_match({name}, {literal(condition.text)})"
    if isinstance(condition, Compare):
        return f"{name} {_OPERATORS[condition.operator]} {literal(condition.value)}"
    if isinstance(condition, Member):
        return f"{name} {'not in' if condition.negated else 'in'} [{_render_list(condition.values)}]"
    if isinstance(condition, Like):
        like = f"{name} like {literal(condition.pattern)}"
        return f"not ({like})" if condition.negated else like
    return _null(name, negated=condition.negated)


def _null(name: str, *, negated: bool) -> str:
    """Whether a column, a value inside JSON, an array's length or an element of it is NULL."""
    length, element = _LENGTH.fullmatch(name), _ELEMENT.fullmatch(name)
    if element:
        # Milvus has no NULL test for an element: it is there where the array is long enough.
        there = f"array_length({element[1]}) > {element[2]}"
        return there if negated else f"({element[1]} is null or not ({there}))"
    return f"{length[1] if length else name} {'is not null' if negated else 'is null'}"


def _render_list(values: tuple[Value, ...]) -> str:
    return ", ".join(literal(value) for value in values)


def literal(value: Value) -> str:
    """A value as Milvus's filter language writes it. A text is UTF-8 without NUL; a float is finite."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value.translate(_ESCAPES)}"' if isinstance(value, str) else repr(value)
