"""Which function or operator PostgreSQL calls for arguments of certain types: the manual's chapter 10."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

UNKNOWN: Final = "unknown"
"""The type of NULL, of a constant in quotes, and of a parameter whose type is to be inferred."""
UNTYPED: Final = ""
"""Of an expression whose type is not known here."""

SIGNATURES_FILE: Final = Path(__file__).with_name("postgres16.json")
"""Made of PostgreSQL's catalogs, by the module ``signatures`` of the tests' fixtures."""

_ARRAYS: Final = frozenset({"anyarray", "anycompatiblearray"})
_ELEMENTS: Final = frozenset({"anyelement", "anynonarray", "anycompatible", "anycompatiblenonarray"})
_ANY: Final = _ARRAYS | _ELEMENTS | {"any"}
VECTORS: Final = ("vector", "halfvec", "sparsevec", "bit", "bfloat16_vector")
_DISTANCES: Final = ("<->", "<#>", "<=>", "<+>", "<~>", "<%>")
_OF_NUMBERS: Final = ("vector", "halfvec", "bfloat16_vector")
_ARITHMETIC: Final = ("+", "-", "*", "||")
_COMPARISONS: Final = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Signature:
    """The types of the arguments of a function or an operator, and that of its result."""

    arguments: tuple[str, ...]
    result: str

    def with_arguments(self, count: int) -> Signature | None:
        """The signature of a call with ``count`` arguments; None if it takes another number of them."""
        if not self.arguments or not self.arguments[-1].endswith("*"):
            return self if len(self.arguments) == count else None
        fixed, repeated = self.arguments[:-1], self.arguments[-1][:-1]
        if count <= len(fixed):
            return None
        return Signature((*fixed, *(repeated,) * (count - len(fixed))), self.result)


@lru_cache(maxsize=1)
def _catalog() -> dict[str, Any]:
    catalog: dict[str, Any] = json.loads(SIGNATURES_FILE.read_text(encoding="utf-8"))
    return catalog


@lru_cache(maxsize=512)
def signatures(kind: str, name: str) -> tuple[Signature, ...]:
    """The ``functions`` or ``operators`` of a name; none for a name that is not in the catalog."""
    listed = list(_catalog()[kind].get(name, ()))
    if kind == "operators" and name in (*_DISTANCES, "=", "<>"):
        result = "float8" if name in _DISTANCES else "bool"
        listed += [f"{type_},{type_}:{result}" for type_ in VECTORS]
    elif kind == "operators" and name in _ARITHMETIC:
        listed += [f"{type_},{type_}:{type_}" for type_ in _OF_NUMBERS]
    elif kind == "operators" and name in _COMPARISONS:
        listed += [f"{type_},{type_}:bool" for type_ in (*_OF_NUMBERS, "sparsevec")]
    elif kind == "functions" and name.endswith("_distance"):
        listed += [f"{type_},{type_}:float8" for type_ in VECTORS]
    parts = (each.partition(":") for each in dict.fromkeys(listed))
    return tuple(
        Signature(tuple(arguments.split(",")) if arguments else (), result) for arguments, _, result in parts
    )


@lru_cache(maxsize=4_096)
def resolve(kind: str, name: str, arguments: tuple[str, ...]) -> Signature | None:
    """The function or operator that PostgreSQL calls by a name; None if there is none, or several."""
    return choose(signatures(kind, name), arguments)


def choose(candidates: Iterable[Signature], arguments: Sequence[str]) -> Signature | None:
    """The signature that PostgreSQL calls, with its types filled in; None if that is not clear."""
    if UNTYPED in arguments:
        return _agreed(candidates, arguments)
    fitting = [
        each
        for candidate in candidates
        if (each := candidate.with_arguments(len(arguments))) is not None and _takes_all(each, arguments)
    ]
    chosen = _exact(fitting, arguments) or _best(fitting, arguments)
    return None if chosen is None else _filled_in(chosen, arguments)


def takes(kind: str, name: str, arguments: Sequence[str]) -> bool:
    """Whether any function or operator of a name may have arguments of these types."""
    fitting = (each.with_arguments(len(arguments)) for each in signatures(kind, name))
    return any(
        each is not None
        and (
            all(map(_may_take, each.arguments, arguments))
            if UNTYPED in arguments
            else _takes_all(each, arguments)
        )
        for each in fitting
    )


def is_assigned(source: str, target: str) -> bool:
    """Whether a value of a type is written into a column of another one."""
    if converts(source, target) or target in _catalog()["assignments"].get(source, ()):
        return True
    if source.startswith("_") and target.startswith("_"):
        return is_assigned(source[1:], target[1:])
    return _category(target) == "S"


def is_cast(source: str, target: str) -> bool:
    """Whether ``::`` makes a value of a type one of another."""
    if source.startswith("_") and target.startswith("_"):
        return is_cast(source[1:], target[1:])
    return (
        is_assigned(source, target)
        or target in _catalog()["explicit"].get(source, ())
        or _category(source) == "S"
    )


def common_type(types: Sequence[str]) -> str:
    """The type of CASE, coalesce() and their like: PostgreSQL's select_common_type; UNKNOWN of none."""
    if UNTYPED in types:
        return UNTYPED
    chosen = UNKNOWN
    for type_ in types:
        if type_ in (UNKNOWN, chosen):
            continue
        if chosen == UNKNOWN:
            chosen = type_
        elif _category(type_) != _category(chosen):
            return UNTYPED
        elif not _is_preferred(chosen) and converts(chosen, type_) and not converts(type_, chosen):
            chosen = type_
    return chosen


def _agreed(candidates: Iterable[Signature], arguments: Sequence[str]) -> Signature | None:
    """What all candidates say of a call of which a type is not known."""
    fitting = [
        each
        for candidate in candidates
        if (each := candidate.with_arguments(len(arguments))) is not None
        and all(map(_may_take, each.arguments, arguments))
    ]
    if not fitting:
        return None
    agreed = [
        types.pop() if len(types := {each.arguments[at] for each in fitting}) == 1 else UNTYPED
        for at in range(len(arguments))
    ]
    results = {each.result for each in fitting}
    result = results.pop() if len(results) == 1 else UNTYPED
    concrete = [UNTYPED if type_ in _ANY else type_ for type_ in (*agreed, result)]
    return Signature(tuple(concrete[:-1]), concrete[-1])


def _exact(fitting: list[Signature], arguments: Sequence[str]) -> Signature | None:
    """The signature of these very types; of two operands, an unknown one is first taken for the other's."""
    types = tuple(arguments)
    if len(types) == 2 and types.count(UNKNOWN) == 1:
        other = next(type_ for type_ in types if type_ != UNKNOWN)
        types = (other, other)
    return next((each for each in fitting if each.arguments == types), None)


def _best(fitting: list[Signature], arguments: Sequence[str]) -> Signature | None:
    for rank in (_is_exact, _is_exact_or_preferred):
        counts = [sum(map(rank, each.arguments, arguments)) for each in fitting]
        fitting = [each for each, count in zip(fitting, counts, strict=True) if count == max(counts)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    if UNKNOWN not in arguments:
        return None
    fitting = _by_category(fitting, arguments)
    if len(fitting) == 1:
        return fitting[0]
    types = {type_ for type_ in arguments if type_ != UNKNOWN}
    if len(types) != 1:
        return None
    same = types.pop()
    guessed = [each for each in fitting if _takes_all(each, [same] * len(arguments))]
    return guessed[0] if len(guessed) == 1 else None


def _by_category(fitting: list[Signature], arguments: Sequence[str]) -> list[Signature]:
    """Those that take unknown arguments for texts, or for what all take them for."""
    remaining = fitting
    for at, argument in enumerate(arguments):
        if argument != UNKNOWN:
            continue
        categories = {_category(each.arguments[at]) for each in fitting}
        if "S" not in categories and len(categories) > 1:
            return fitting
        category = "S" if "S" in categories else categories.pop()
        of_category = [each for each in fitting if _category(each.arguments[at]) == category]
        preferred = any(_is_preferred(each.arguments[at]) for each in of_category)
        remaining = [
            each
            for each in remaining
            if _category(each.arguments[at]) == category
            and (not preferred or _is_preferred(each.arguments[at]))
        ]
    return remaining or fitting


def _is_exact(parameter: str, argument: str) -> bool:
    return argument == parameter


def _is_exact_or_preferred(parameter: str, argument: str) -> bool:
    return argument != UNKNOWN and (
        argument == parameter or (_category(argument) == _category(parameter) and _is_preferred(parameter))
    )


def _takes_all(signature: Signature, arguments: Sequence[str]) -> bool:
    """Whether a call may have these arguments, and those of ``anyelement`` and its like one type."""
    if not all(map(_takes, signature.arguments, arguments)):
        return False
    if not _ANY.intersection(signature.arguments):
        return True
    elements = _element_types(signature, arguments)
    if any("compatible" in parameter for parameter in signature.arguments):
        return not elements or common_type(elements) != UNTYPED
    return len(set(elements)) < 2


def _element_types(signature: Signature, arguments: Sequence[str]) -> list[str]:
    return [
        argument[1:] if parameter in _ARRAYS else argument
        for parameter, argument in zip(signature.arguments, arguments, strict=True)
        if argument != UNKNOWN and parameter in _ARRAYS | _ELEMENTS
    ]


def _takes(parameter: str, argument: str) -> bool:
    if argument in (parameter, UNKNOWN) or parameter == "any":
        return True
    if parameter in _ELEMENTS:
        return not (parameter.endswith("nonarray") and argument.startswith("_"))
    if parameter in _ARRAYS:
        return argument.startswith("_")
    return converts(argument, parameter)


def _may_take(parameter: str, argument: str) -> bool:
    return argument == UNTYPED or _takes(parameter, argument)


def converts(source: str, target: str) -> bool:
    """Whether a value is converted to another type unasked."""
    if source == target or target in _catalog()["casts"].get(source, ()):
        return True
    return source.startswith("_") and target.startswith("_") and converts(source[1:], target[1:])


def _kinds() -> Mapping[str, str]:
    kinds: Mapping[str, str] = _catalog()["categories"]
    return kinds


def _category(type_: str) -> str:
    return "A" if type_.startswith("_") else _kinds().get(type_, "U")[:1]


def _is_preferred(type_: str) -> bool:
    return _kinds().get(type_, "").endswith("!")


def _filled_in(chosen: Signature, arguments: Sequence[str]) -> Signature:
    """A signature with types in the place of ``anyelement`` and its like."""
    if not _ANY.intersection((*chosen.arguments, chosen.result)):
        return chosen
    elements = _element_types(chosen, arguments)
    element = common_type(elements) if elements else UNKNOWN
    if element == UNKNOWN:
        is_text = any("compatible" in parameter for parameter in chosen.arguments)
        element = "text" if is_text else UNTYPED

    def concrete(type_: str) -> str:
        if type_ in _ARRAYS:
            return f"_{element}" if element else UNTYPED
        return element if type_ in _ELEMENTS else UNTYPED if type_ == "any" else type_

    return Signature(tuple(map(concrete, chosen.arguments)), concrete(chosen.result))
