"""Predicates of a path of SQL/JSON, which are true, false or unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nestvec.sql.relational.json_path.evaluate import (
    PathContext,
    PathError,
    has_items,
    item_type,
    path_items,
    unwrapped_items,
)
from nestvec.sql.relational.json_path.nodes import (
    PathComparison,
    PathExists,
    PathIsUnknown,
    PathJunction,
    PathNegation,
    PathNode,
    PathPrefix,
    PathRegex,
)

_ORDERED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def test_predicate(context: PathContext, node: PathNode, item: Any) -> bool | None:
    """The value of a predicate; None if it is unknown."""
    if isinstance(node, PathJunction):
        return _junction(context, node, item)
    if isinstance(node, PathNegation):
        value = test_predicate(context, node.operand, item)
        return None if value is None else not value
    if isinstance(node, PathIsUnknown):
        return test_predicate(context, node.operand, item) is None
    try:
        if isinstance(node, PathExists):
            return has_items(context, node.operand, item)
        if isinstance(node, PathComparison):
            pairs = _pairs(context, (node.left, node.right), item, unwrap_right=True)
            return _any_pair(context, pairs, lambda left, right: _compare(node.operator, left, right))
        if isinstance(node, PathPrefix):
            pairs = _pairs(context, (node.operand, node.prefix), item, unwrap_right=False)
            return _any_pair(context, pairs, _starts_with)
        if isinstance(node, PathRegex):
            values = list(unwrapped_items(context, node.operand, item))
            return _any_pair(context, [(value, node.pattern) for value in values], _matches)
    except PathError:
        return None
    raise ValueError("jsonpath has a value where a predicate is expected")


def _junction(context: PathContext, node: PathJunction, item: Any) -> bool | None:
    decisive = node.operator == "||"
    left = test_predicate(context, node.left, item)
    if left is decisive:
        return decisive
    right = test_predicate(context, node.right, item)
    return left if right is not None and right is not decisive else right


def _pairs(
    context: PathContext, sides: tuple[PathNode, PathNode], item: Any, *, unwrap_right: bool
) -> list[tuple[Any, Any]]:
    """Every item of the left side with every item of the right side, all of which are read first."""
    left = list(unwrapped_items(context, sides[0], item))
    right = list((unwrapped_items if unwrap_right else path_items)(context, sides[1], item))
    pairs: list[tuple[Any, Any]] = []
    for value in left:
        for other in right:
            context.visits.count()
            pairs.append((value, other))
    return pairs


def _any_pair(
    context: PathContext, pairs: list[tuple[Any, Any]], test: Callable[[Any, Any], bool | None]
) -> bool | None:
    """Whether a test holds for a pair. In strict mode, all of them have to have an answer."""
    results: set[bool | None] = set()
    for left, right in pairs:
        result = test(left, right)
        if result is None if context.is_strict else result:
            return result
        results.add(result)
    if True in results:
        return True
    return None if None in results else False


def _compare(operator: str, left: Any, right: Any) -> bool | None:
    types = item_type(left), item_type(right)
    if types[0] != types[1]:
        return operator == "!=" if "null" in types else None
    if types[0] in ("array", "object"):
        return None
    if left is None:
        return operator in ("==", "<=", ">=")
    return _ORDERED[operator](left, right)


def _starts_with(value: Any, prefix: Any) -> bool | None:
    return value.startswith(prefix) if isinstance(value, str) and isinstance(prefix, str) else None


def _matches(value: Any, pattern: str) -> bool | None:
    if not isinstance(value, str):
        return None
    return bool(pc.match_substring_regex(pa.array([value]), pattern)[0].as_py())
