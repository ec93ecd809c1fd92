"""The items that a path of SQL/JSON has in a document, in PostgreSQL's order and with its errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from nestvec.sql.relational.json_path.nodes import (
    LAST,
    DescendStep,
    FilterStep,
    ItemsStep,
    MemberStep,
    MethodStep,
    PathAnchor,
    PathArithmetic,
    PathChain,
    PathConstant,
    PathNode,
    PathSign,
    PathStep,
    PathVariable,
    SubscriptStep,
)
from nestvec.sql.relational.json_path.numbers import (
    NumberError,
    compute,
    negative,
    read_number,
    whole_number,
)
from nestvec.sqltypes.jsonb import key_rank

MAX_VISITS: Final = 200_000
"""Items that a path may visit in one document."""
_MAX_POSITION: Final = 1 << 31
_DOUBLE: Final = re.compile(r"[ \t\n\v\f\r]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t\n\v\f\r]*")


class PathError(ValueError):
    """An error that ``silent`` suppresses."""


@dataclass
class Visits:
    """How many items a path has visited."""

    number: int = 0

    def count(self) -> None:
        """Count an item. Raises ValueError for too many."""
        self.number += 1
        if self.number > MAX_VISITS:
            raise ValueError(f"the jsonpath visits more than {MAX_VISITS:,} items of a document")


@dataclass(frozen=True)
class PathContext:
    """What a part of a path is evaluated with."""

    root: Any
    current: Any
    variables: dict[str, Any]
    is_strict: bool
    is_tolerant: bool
    """Whether what is missing is no error: in lax mode, and below ``**``."""
    test: Callable[[PathContext, PathNode, Any], bool | None]
    """The value of a predicate; None if it is unknown."""
    is_raising: bool
    """Whether an error ends the statement: not with ``silent``, nor in a predicate."""
    size: int = 0
    """Of the array whose positions ``last`` counts."""
    visits: Visits = field(default_factory=Visits)


def path_items(context: PathContext, node: PathNode, item: Any) -> Iterator[Any]:
    """The items of a part of a path. Raises PathError while it is read."""
    if isinstance(node, PathChain):
        yield from _followed(context, node, 0, path_items(context, node.head, item))
    elif isinstance(node, PathConstant):
        yield node.value
    elif isinstance(node, PathVariable):
        if node.name not in context.variables:
            raise ValueError(f"could not find jsonpath variable '{node.name}'")
        yield context.variables[node.name]
    elif isinstance(node, PathAnchor):
        yield {"$": context.root, "@": context.current, "last": Decimal(context.size - 1)}[node.word]
    elif isinstance(node, PathSign):
        for operand in list(unwrapped_items(context, node.operand, item)):
            if not isinstance(operand, Decimal):
                raise PathError(f"operand of unary jsonpath operator {node.operator} is not a numeric value")
            yield negative(operand) if node.operator == "-" else operand
    elif isinstance(node, PathArithmetic):
        sides = [
            _single_number(context, side, item, f"{name} operand of jsonpath operator {node.operator}")
            for name, side in (("left", node.left), ("right", node.right))
        ]
        try:
            yield compute(node.operator, *sides)
        except NumberError as error:
            raise PathError(str(error)) from None
    else:
        yield context.test(replace(context, is_raising=False), node, item)


def unwrapped_items(context: PathContext, node: PathNode, item: Any) -> Iterator[Any]:
    """The items of a part of a path; in lax mode an array is its elements."""
    for value in path_items(context, node, item):
        if isinstance(value, list) and not context.is_strict:
            yield from value
        else:
            yield value


def _single_number(context: PathContext, node: PathNode, item: Any, name: str) -> Decimal:
    values = list(unwrapped_items(context, node, item))
    if len(values) != 1 or not isinstance(values[0], Decimal):
        raise PathError(f"{name} is not a single numeric value")
    return values[0]


def _followed(context: PathContext, chain: PathChain, at: int, items: Iterator[Any]) -> Iterator[Any]:
    """The items after the accessors of a chain from the one at a place."""
    if at == len(chain.steps):
        yield from items
        return
    step = chain.steps[at]
    for item in items:
        if isinstance(step, DescendStep):
            yield from _followed_below(context, chain, at, item)
        else:
            values = _accessed(context, step, item, not context.is_strict)
            yield from _followed(context, chain, at + 1, values)


def _followed_below(context: PathContext, chain: PathChain, at: int, item: Any) -> Iterator[Any]:
    """The items after ``**``, the accessor at a place: below it, nothing that is missing is an error."""
    step, inner = chain.steps[at], replace(context, is_tolerant=True)
    if not isinstance(step, DescendStep):
        return
    context.visits.count()
    if step.first == 0:
        try:
            yield from _followed(inner, chain, at + 1, iter([item]))
        except PathError:
            # PostgreSQL forgets an error of the item itself where it then looks below.
            if context.is_raising or not isinstance(item, (dict, list)):
                raise
    yield from _followed(inner, chain, at + 1, _descendants(context, step, item, 1))


def _accessed(context: PathContext, step: PathStep, item: Any, unwrap: bool) -> Iterator[Any]:
    """The items that an accessor has of an item; with ``unwrap``, of the elements of an array."""
    context.visits.count()
    if isinstance(step, MemberStep):
        yield from _members(context, step, item, unwrap)
    elif isinstance(step, ItemsStep):
        if isinstance(item, list):
            yield from _counted(context, item)
        elif not context.is_strict:
            yield item
        elif not context.is_tolerant:
            raise PathError("jsonpath wildcard array accessor can only be applied to an array")
    elif isinstance(step, SubscriptStep):
        yield from _elements(context, step, item)
    elif isinstance(step, FilterStep):
        if unwrap and isinstance(item, list):
            yield from _of_elements(context, step, item)
        elif context.test(replace(context, current=item, is_raising=False), step.condition, item):
            yield item
    elif isinstance(step, MethodStep):
        yield from _method(context, step, item, unwrap)


def _counted(context: PathContext, items: list[Any]) -> Iterator[Any]:
    for item in items:
        context.visits.count()
        yield item


def _of_elements(context: PathContext, step: PathStep, items: list[Any]) -> Iterator[Any]:
    for item in items:
        yield from _accessed(context, step, item, False)


def _members(context: PathContext, step: MemberStep, item: Any, unwrap: bool) -> Iterator[Any]:
    if isinstance(item, dict):
        if step.key is None:
            yield from _counted(context, [item[key] for key in sorted(item, key=key_rank)])
        elif step.key in item:
            yield item[step.key]
        elif not context.is_tolerant:
            raise PathError(f"JSON object does not contain key '{step.key}'")
    elif unwrap and isinstance(item, list):
        yield from _of_elements(context, step, item)
    elif not context.is_tolerant:
        kind = "member" if step.key is not None else "wildcard member"
        raise PathError(f"jsonpath {kind} accessor can only be applied to an object")


def _elements(context: PathContext, step: SubscriptStep, item: Any) -> Iterator[Any]:
    if not isinstance(item, list) and context.is_strict:
        if not context.is_tolerant:
            raise PathError("jsonpath array accessor can only be applied to an array")
        return
    items = item if isinstance(item, list) else [item]
    sized = replace(context, size=len(items))
    for first, last in step.ranges:
        low = _position(sized, first, item)
        high = low if last is None else _position(sized, last, item)
        if not context.is_tolerant and (low < 0 or low > high or high >= len(items)):
            raise PathError("jsonpath array subscript is out of bounds")
        yield from _counted(context, items[max(low, 0) : max(high + 1, 0)])


def _position(context: PathContext, node: PathNode, item: Any) -> int:
    values = list(path_items(context, node, item))
    if len(values) != 1 or not isinstance(values[0], Decimal):
        raise PathError("jsonpath array subscript is not a single numeric value")
    if not -_MAX_POSITION - 1 < values[0] < _MAX_POSITION:
        raise PathError("jsonpath array subscript is out of integer range")
    return int(values[0])


def _descendants(context: PathContext, step: DescendStep, item: Any, level: int) -> Iterator[Any]:
    """What is below an item, with ``**{last}`` what has nothing below."""
    if level > step.last or not isinstance(item, (dict, list)):
        return
    below = item if isinstance(item, list) else [item[key] for key in sorted(item, key=key_rank)]
    for value in _counted(context, below):
        is_leaf = step.first == step.last == LAST and not isinstance(value, (dict, list))
        if level >= step.first or is_leaf:
            yield value
        yield from _descendants(context, step, value, level + 1)


def _method(context: PathContext, step: MethodStep, item: Any, unwrap: bool) -> Iterator[Any]:
    if step.name == "type":
        yield item_type(item)
    elif step.name == "size":
        if not isinstance(item, list) and context.is_strict:
            if not context.is_tolerant:
                raise PathError("jsonpath item method .size() can only be applied to an array")
            return
        yield Decimal(len(item) if isinstance(item, list) else 1)
    elif unwrap and isinstance(item, list):
        yield from _of_elements(context, step, item)
    elif step.name == "double":
        yield _double(item)
    elif isinstance(item, Decimal):
        yield whole_number(item, step.name)
    else:
        raise PathError(f"jsonpath item method .{step.name}() can only be applied to a numeric value")


def _double(item: Any) -> Decimal:
    if isinstance(item, Decimal):
        if item and (abs(number := float(item)) == float("inf") or number == 0):
            raise PathError("argument of jsonpath item method .double() is out of range of double precision")
        return item
    if not isinstance(item, str):
        raise PathError("jsonpath item method .double() can only be applied to a string or numeric value")
    number = float(item) if _DOUBLE.fullmatch(item) else float("inf")
    if abs(number) == float("inf"):
        raise PathError(
            "string argument of jsonpath item method .double() is no valid double precision number"
        )
    return read_number(f"{number:.15g}")


def item_type(item: Any) -> str:
    """The name of the type of an item."""
    if item is None:
        return "null"
    names = ((bool, "boolean"), (Decimal, "number"), (str, "string"), (list, "array"))
    return next((name for kind, name in names if isinstance(item, kind)), "object")


def has_items(context: PathContext, node: PathNode, item: Any) -> bool:
    """Whether a path has items: in strict mode all are read, so that errors in later ones are raised."""
    if isinstance(node, PathSign) and not context.is_strict:
        # Of what is no number, PostgreSQL makes no error here.
        return any(isinstance(value, Decimal) for value in unwrapped_items(context, node.operand, item))
    if context.is_strict:
        return len(list(path_items(context, node, item))) > 0
    return any(True for _ in path_items(context, node, item))
