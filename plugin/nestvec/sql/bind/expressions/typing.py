"""Types of expressions: which go together, and what comes of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.expressions.expressions import Apply, Constant, Expression, Mark
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS
from nestvec.sql.parse.source import Source

NULL: Final = "NULL"
"""The type of NULL itself, which goes with every other."""

KINDS: Final[dict[str, frozenset[str]]] = {
    "a number": INTEGERS | FLOATS,
    "a whole number": INTEGERS,
    "a text": STRINGS,
    "a condition": frozenset({"BOOL"}),
    "an array": frozenset({"ARRAY"}),
    "a JSON value": frozenset({"JSON"}),
    "a vector": frozenset({"FLOAT_VECTOR"}),
    "a number, a text or a condition": INTEGERS | FLOATS | STRINGS | {"BOOL"},
}
"""What a function may take, and the types that are it. What is not here may be anything."""

_FAMILIES: Final = (("INT64", INTEGERS), ("DOUBLE", INTEGERS | FLOATS), ("VARCHAR", STRINGS))
_CAST: Final = "Cast it, as in (meta->>'year')::int or year::text."


@dataclass(frozen=True)
class Typed:
    """An expression and the type of what it gives, by Milvus's name; ``element`` is an array's."""

    expression: Expression
    type: str
    element: str | None = None


def mark(source: Source, node: exp.Expr) -> Mark:
    """Where ``node`` stands."""
    return Mark(source.text, source.position(node))


def check(source: Source, typed: Typed, kind: str, node: exp.Expr, what: str) -> None:
    """Raise SqlTypeMismatch where ``typed`` is not of a kind in ``KINDS``; ``what`` is who takes it."""
    if kind in KINDS and typed.type != NULL and typed.type not in KINDS[kind]:
        raise source.type_mismatch(f"{what} takes {kind}, not {typed.type}", typed.type, node, _CAST)


def common(source: Source, found: Sequence[Typed], nodes: Sequence[exp.Expr], what: str) -> str:
    """The type that all of ``found`` have or are turned into. Raises SqlTypeMismatch."""
    types = {one.type for one in found} - {NULL}
    if not types:
        return NULL
    for name, family in _FAMILIES:
        if types <= family:
            return name
    first = next(one.type for one in found if one.type != NULL)
    if len(types) == 1:
        return first
    at, other = next(
        (node, one.type)
        for node, one in zip(nodes, found, strict=True)
        if one.type not in (NULL, first) and not any({first, one.type} <= kind for _, kind in _FAMILIES)
    )
    raise source.type_mismatch(f"{what} takes {first} beside it, not {other}", other, at, _CAST)


def turned(typed: Typed, into: str) -> Expression:
    """A whole number as one with a fraction, where the others beside it have one."""
    if into != "DOUBLE" or typed.type not in INTEGERS:
        return typed.expression
    if isinstance(typed.expression, Constant) and isinstance(typed.expression.value, int):
        return Constant(float(typed.expression.value))
    return Apply("float", (typed.expression,))
