"""Types of expressions: which are compatible, and the common type of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.expressions.nodes import Constant, Expression, FunctionCall, SourceLocation
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS
from nestvec.sql.parse.source import SourceText

NULL: Final = "NULL"
"""The type of the constant NULL, which is compatible with every other."""

KINDS: Final[dict[str, frozenset[str]]] = {
    "a number": INTEGERS | FLOATS,
    "an integer": INTEGERS,
    "a string": STRINGS,
    "a boolean": frozenset({"BOOL"}),
    "an array": frozenset({"ARRAY"}),
    "a JSON value": frozenset({"JSON"}),
    "a vector": frozenset({"FLOAT_VECTOR"}),
    "a number, a string or a boolean": INTEGERS | FLOATS | STRINGS | {"BOOL"},
}
"""Kinds of arguments, and the types of each; any other kind accepts every type."""

_COMMON_TYPES: Final = (("INT64", INTEGERS), ("DOUBLE", INTEGERS | FLOATS), ("VARCHAR", STRINGS))
_CAST: Final = "Add a cast, for example (meta->>'year')::int or year::text."


@dataclass(frozen=True)
class TypedExpression:
    """An expression, its type and the type of its elements, by Milvus's names."""

    expression: Expression
    type: str
    element_type: str | None = None


def location_of(source: SourceText, node: exp.Expr) -> SourceLocation:
    """The location of ``node`` in the statement."""
    return SourceLocation(source.text, source.position(node))


def check_kind(source: SourceText, operand: TypedExpression, kind: str, node: exp.Expr, taker: str) -> None:
    """Raise SqlTypeMismatch if ``operand`` is not of a kind; ``taker`` names what takes it."""
    if kind in KINDS and operand.type.endswith("_VECTOR") and kind != "a vector":
        raise source.not_supported(f"{taker} of a vector", node, "Pass a number or a string.")
    if kind in KINDS and operand.type != NULL and operand.type not in KINDS[kind]:
        raise source.type_mismatch(f"{taker} takes {kind}, not {operand.type}", operand.type, node, _CAST)


def common_type(
    source: SourceText, operands: Sequence[TypedExpression], nodes: Sequence[exp.Expr], taker: str
) -> str:
    """The type that all operands have or are promoted to. Raises SqlTypeMismatch."""
    types = {operand.type for operand in operands} - {NULL}
    if not types:
        return NULL
    for name, family in _COMMON_TYPES:
        if types <= family:
            return name
    first = next(operand.type for operand in operands if operand.type != NULL)
    if len(types) == 1:
        return first
    other_node, other = next(
        (node, operand.type)
        for node, operand in zip(nodes, operands, strict=True)
        if operand.type not in (NULL, first)
        and not any({first, operand.type} <= kind for _, kind in _COMMON_TYPES)
    )
    raise source.type_mismatch(f"{taker} cannot combine {first} and {other}", other, other_node, _CAST)


def promoted(operand: TypedExpression, target: str) -> Expression:
    """The expression, as a double if ``target`` is DOUBLE and it is an integer."""
    if target != "DOUBLE" or operand.type not in INTEGERS:
        return operand.expression
    if isinstance(operand.expression, Constant) and isinstance(operand.expression.value, int):
        return Constant(float(operand.expression.value))
    return FunctionCall("float", (operand.expression,))
