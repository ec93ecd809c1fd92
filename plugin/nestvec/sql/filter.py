"""A condition as a Milvus filter expression.

Values stand in it as constants, because Milvus Lite has no filter templates. The grammar is the part that
both engines read alike: Milvus's Plan.g4 and milvus_lite.search.filter.
"""

from __future__ import annotations

from nestvec.sql.conditions import Compare, Condition, Either, Every, IsNull, Like, Member
from nestvec.sql.scope import Value

_OPERATORS = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

# Escapes that Milvus Lite's tokenizer and Go's strconv.Unquote, with which Milvus reads, both know.
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def render(condition: Condition | None) -> str:
    """The filter expression; empty for None. The columns' names are such as Milvus reads."""
    return "" if condition is None else _render(_guarded(condition))


def _guarded(condition: Condition) -> Condition:
    """Keep NULL out of negations by name: Milvus Lite counts a NULL as being not in a list."""
    if isinstance(condition, (Every, Either)):
        return type(condition)(tuple(_guarded(part) for part in condition.parts))
    if isinstance(condition, IsNull) or not condition.column.nullable:
        return condition
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


def _leaf(condition: Compare | Member | Like | IsNull) -> str:
    name = condition.column.name
    if isinstance(condition, Compare):
        return f"{name} {_OPERATORS[condition.operator]} {literal(condition.value)}"
    if isinstance(condition, Member):
        values = ", ".join(literal(value) for value in condition.values)
        return f"{name} {'not in' if condition.negated else 'in'} [{values}]"
    if isinstance(condition, Like):
        like = f"{name} like {literal(condition.pattern)}"
        return f"not ({like})" if condition.negated else like
    return f"{name} {'is not null' if condition.negated else 'is null'}"


def literal(value: Value) -> str:
    """A value as Milvus's filter language writes it. A text is UTF-8 without NUL; a float is finite."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value.translate(_ESCAPES)}"' if isinstance(value, str) else repr(value)
