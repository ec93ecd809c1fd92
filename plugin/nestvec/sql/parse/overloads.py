"""Which of several functions of one name PostgreSQL calls for arguments of certain types, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = "unknown"
"""The type of a constant in quotes and of NULL, which take that of their place."""

_NUMBERS: Final = ("int2", "int4", "int8", "numeric", "float4", "float8")
_IMPLICIT: Final = {
    **{name: frozenset(_NUMBERS[at + 1 :]) for at, name in enumerate(_NUMBERS)},
    "date": frozenset({"timestamp", "timestamptz"}),
    "timestamp": frozenset({"timestamptz"}),
    "time": frozenset({"timetz", "interval"}),
    "bpchar": frozenset({"text"}),
}
"""The types that a value is converted to unasked."""

_PREFERRED: Final = frozenset({"float8", "text", "timestamptz", "interval", "bool", "varbit"})
"""What is chosen among types of one kind, where no function takes those of the arguments."""


@dataclass(frozen=True)
class Overload:
    """One of the functions of a name."""

    arguments: tuple[str, ...]
    result: str


def result_of(overloads: Sequence[Overload], arguments: Sequence[str]) -> str:
    """PostgreSQL's name of the result's type; empty if it is not clear which function is called.

    An empty argument is one whose type is not known.
    """
    matching = [each for each in overloads if len(each.arguments) == len(arguments)]
    if "" not in arguments:
        matching = _best(matching, arguments)
    results = {each.result for each in matching}
    return results.pop() if len(results) == 1 else ""


def _best(overloads: Sequence[Overload], arguments: Sequence[str]) -> list[Overload]:
    """Those that take the arguments, with the fewest conversions, as the manual's section 10.3 has it."""
    taking = [each for each in overloads if all(map(_takes, each.arguments, arguments))]
    for rank in (_count_exact, _count_preferred):
        most = max((rank(each, arguments) for each in taking), default=0)
        taking = [each for each in taking if rank(each, arguments) == most]
    if len({each.result for each in taking}) < 2 or UNKNOWN not in arguments:
        return taking
    # A constant is taken for what the other arguments are, or for a text.
    others = {argument for argument in arguments if argument != UNKNOWN}
    guess = others.pop() if len(others) == 1 else "text"
    guessed = [guess if argument == UNKNOWN else argument for argument in arguments]
    return [each for each in taking if all(map(_takes, each.arguments, guessed))]


def _takes(parameter: str, argument: str) -> bool:
    return argument in (parameter, UNKNOWN) or parameter in _IMPLICIT.get(argument, ())


def _count_exact(overload: Overload, arguments: Sequence[str]) -> int:
    return sum(map(str.__eq__, overload.arguments, arguments))


def _count_preferred(overload: Overload, arguments: Sequence[str]) -> int:
    pairs = zip(overload.arguments, arguments, strict=True)
    return sum(argument == parameter or parameter in _PREFERRED for parameter, argument in pairs)
