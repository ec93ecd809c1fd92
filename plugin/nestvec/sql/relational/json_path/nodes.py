"""The tree of a path of SQL/JSON."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

LAST: Final = (1 << 32) - 1
"""The level of ``last`` in ``**{2 to last}``."""


@dataclass(frozen=True)
class PathConstant:
    """A number, a string, true, false or null."""

    value: Decimal | str | bool | None


@dataclass(frozen=True)
class PathVariable:
    """``$name``, a value of the argument ``vars``."""

    name: str


@dataclass(frozen=True)
class PathAnchor:
    """``$``, ``@`` or ``last``."""

    word: str


@dataclass(frozen=True)
class PathChain:
    """What accessors are applied to, one after the other."""

    head: PathNode
    steps: tuple[PathStep, ...]


@dataclass(frozen=True)
class PathSign:
    """``+`` or ``-`` before an operand."""

    operator: str
    operand: PathNode


@dataclass(frozen=True)
class PathArithmetic:
    """``+ - * / %`` of two numbers."""

    operator: str
    left: PathNode
    right: PathNode


@dataclass(frozen=True)
class PathComparison:
    """``== != < <= > >=``."""

    operator: str
    left: PathNode
    right: PathNode


@dataclass(frozen=True)
class PathJunction:
    """``&&`` or ``||`` of two predicates."""

    operator: str
    left: PathNode
    right: PathNode


@dataclass(frozen=True)
class PathNegation:
    """``!`` before a predicate."""

    operand: PathNode


@dataclass(frozen=True)
class PathIsUnknown:
    """``(predicate) is unknown``."""

    operand: PathNode


@dataclass(frozen=True)
class PathExists:
    """``exists (path)``."""

    operand: PathNode


@dataclass(frozen=True)
class PathPrefix:
    """``starts with``."""

    operand: PathNode
    prefix: PathNode


@dataclass(frozen=True)
class PathRegex:
    """``like_regex``, with the pattern in RE2's notation."""

    operand: PathNode
    pattern: str


PREDICATES: Final = (
    PathComparison, PathJunction, PathNegation, PathIsUnknown, PathExists, PathPrefix, PathRegex,
)  # fmt: skip
"""What is true, false or unknown."""

PathPredicate = (
    PathComparison | PathJunction | PathNegation | PathIsUnknown | PathExists | PathPrefix | PathRegex
)
PathNode = PathConstant | PathVariable | PathAnchor | PathChain | PathSign | PathArithmetic | PathPredicate


@dataclass(frozen=True)
class MemberStep:
    """``.key``; without a key ``.*``."""

    key: str | None


@dataclass(frozen=True)
class ItemsStep:
    """``[*]``."""


@dataclass(frozen=True)
class SubscriptStep:
    """``[0, 2 to last]``: the first and the last position of each range."""

    ranges: tuple[tuple[PathNode, PathNode | None], ...]


@dataclass(frozen=True)
class DescendStep:
    """``**{first to last}``."""

    first: int
    last: int


@dataclass(frozen=True)
class MethodStep:
    """``.size()`` and its like."""

    name: str


@dataclass(frozen=True)
class FilterStep:
    """``? (predicate)``."""

    condition: PathNode


PathStep = MemberStep | ItemsStep | SubscriptStep | DescendStep | MethodStep | FilterStep


@dataclass(frozen=True)
class JsonPath:
    """A path with its mode."""

    is_strict: bool
    root: PathNode
