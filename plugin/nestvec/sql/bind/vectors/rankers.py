"""``DECAY(…)`` and ``BOOST(…)`` in RERANK BY: rankers that change the scores of a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions import Condition, bind_condition
from nestvec.sql.bind.scope import FLOATS, INTEGERS, Scope
from nestvec.sql.bind.vectors.intervals import TIME_TYPES, interval_micros
from nestvec.sql.bind.vectors.targets import text_constant
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.dialect import Boost
from nestvec.sql.parse.source import identifier_name
from nestvec.sqltypes import is_mapped, sql_type_of
from nestvec_schemas.errors import nearest

DECAY_FORM: Final = "Write DECAY(column, origin => 2024, scale => 5, function => 'gauss')."
BOOST_FORM: Final = "Write BOOST(WHERE condition, weight => 2)."

_MICROS_A_DAY: Final = 86_400_000_000
_MAX_SEED: Final = (1 << 63) - 1


def _gauss(distance: float, scale: float, decay: float) -> float:
    apart = distance / scale
    return math.exp(math.log(decay) * apart * apart)


def _exponential(distance: float, scale: float, decay: float) -> float:
    return math.exp(math.log(decay) * distance / scale)


def _linear(distance: float, scale: float, decay: float) -> float:
    return max(0.0, 1.0 - (1.0 - decay) * distance / scale)


DECAY_FUNCTIONS: Final[Mapping[str, Callable[[float, float, float], float]]] = {
    "gauss": _gauss,
    "exp": _exponential,
    "linear": _linear,
}
"""Milvus's curves: 1 at the origin, ``decay`` at the distance ``scale``."""


@dataclass(frozen=True)
class DecayRanker:
    """Scores times a factor that falls with the distance of a column's value from ``origin``.

    Numbers are in the units in which the column stores its values.
    """

    column: Column
    origin: float
    scale: float
    """The distance at which the factor is ``decay``."""
    offset: float = 0.0
    """The distance up to which the factor is 1."""
    decay: float = 0.5
    function: str = "gauss"

    def factor(self, value: float | None) -> float:
        """The factor of a stored value, 0 to 1; 0 for NULL, as in Milvus."""
        if value is None:
            return 0.0
        distance = max(0.0, abs(value - self.origin) - self.offset)
        return DECAY_FUNCTIONS[self.function](distance, self.scale, self.decay)


@dataclass(frozen=True)
class BoostRanker:
    """Scores of the rows that match a condition, times a weight."""

    where: Condition | None
    weight: float
    seed: int | None = None
    """The weight is multiplied by a random number from 0 to 1 with this seed; None for no random number."""
    by: str = ""
    """The column whose value chooses the random number; empty for the row itself."""


@dataclass(frozen=True)
class Boosts:
    """The boosts of a search, and how they go together."""

    boosts: tuple[BoostRanker, ...]
    boost_mode: str = "multiply"
    """Whether the weight and the score are multiplied or added: ``multiply``, ``sum``."""
    function_mode: str = "multiply"
    """Whether the weights of several boosts are multiplied or added."""


def bind_decay(scope: Scope, node: exp.Anonymous) -> DecayRanker:
    """Bind ``DECAY(column, origin => …, scale => …)``. Raises the errors of ``bind_query``."""
    source = scope.source
    positional = [argument for argument in node.expressions if not isinstance(argument, exp.Kwarg)]
    if len(positional) != 1 or not isinstance(positional[0], exp.Column):
        raise source.syntax_error("DECAY takes one column, then its options", node, DECAY_FORM)
    column = scope.column(positional[0])
    kind = sql_type_of(column)
    numeric = column.type in INTEGERS | FLOATS
    if not numeric or (kind is not None and kind.array):
        raise source.type_mismatch(
            f"column {column.name} is not a number or a time", column.type, positional[0], "Name another."
        )
    options = bind_options(
        scope, "DECAY", node.expressions, ("origin", "scale", "offset", "decay", "function")
    )
    for required in ("origin", "scale"):
        if required not in options:
            raise source.syntax_error(f"DECAY needs {required}", node, DECAY_FORM)
    scale = _distance(scope, column, options["scale"])
    if scale <= 0:
        raise source.type_mismatch("scale is above 0", scale, options["scale"], DECAY_FORM)
    offset = _distance(scope, column, options["offset"]) if "offset" in options else 0.0
    if offset < 0:
        raise source.type_mismatch("offset is 0 or above", offset, options["offset"], DECAY_FORM)
    decay = bind_number(scope, options["decay"]) if "decay" in options else 0.5
    if not 0 < decay < 1:
        raise source.type_mismatch("decay is between 0 and 1", decay, options["decay"], DECAY_FORM)
    function = _function(scope, options.get("function"))
    origin = _origin(scope, column, options["origin"])
    return DecayRanker(column, origin, scale, offset=offset, decay=decay, function=function)


def bind_boost(scope: Scope, node: Boost) -> BoostRanker:
    """Bind ``BOOST([WHERE condition,] weight => 2)``. Raises the errors of ``bind_query``."""
    source = scope.source
    stray = next((item for item in node.expressions or () if not isinstance(item, exp.Kwarg)), None)
    if stray is not None:
        raise source.syntax_error("BOOST takes a condition after WHERE, then options", stray, BOOST_FORM)
    options = bind_options(scope, "BOOST", node.expressions or (), ("weight", "seed", "by"))
    if "weight" not in options:
        raise source.syntax_error("BOOST needs a weight", node, BOOST_FORM)
    where = node.args.get("where")
    condition = bind_condition(scope, where) if where is not None else None
    seed = scope.constant(options["seed"]) if "seed" in options else None
    if "seed" in options and (type(seed) is not int or not 0 <= seed <= _MAX_SEED):
        raise source.type_mismatch(
            "seed takes an integer from 0", str(seed)[:40], options["seed"], "Write seed => 42."
        )
    if "by" in options and "seed" not in options:
        raise source.syntax_error("by names the column that chooses random weights", options["by"],
                                  "Add seed => 42.")  # fmt: skip
    by = options.get("by")
    if by is not None and not isinstance(by, exp.Column):
        raise source.syntax_error("by takes a column name", by, BOOST_FORM)
    chosen_by = scope.column(by) if isinstance(by, exp.Column) else None
    if chosen_by is not None and chosen_by.type != "INT64":
        raise source.type_mismatch(
            f"column {chosen_by.name} is not INT64", chosen_by.type, by if by is not None else node,
            "Milvus takes whole numbers of 64 bits: name such a column, or omit by.",
        )  # fmt: skip
    return BoostRanker(
        condition,
        bind_number(scope, options["weight"]),
        seed if isinstance(seed, int) else None,
        chosen_by.name if chosen_by is not None else "",
    )


def bind_options(
    scope: Scope, function: str, arguments: Sequence[exp.Expr], offered: Sequence[str]
) -> dict[str, exp.Expr]:
    """The named arguments of a call. Raises SqlUnknownName for another name."""
    options: dict[str, exp.Expr] = {}
    for argument in arguments:
        if not isinstance(argument, exp.Kwarg):
            continue
        name = identifier_name(argument.this)
        if name not in offered:
            raise scope.source.unknown_name(
                f"{function} has no such option", name, argument,
                f"Available: {', '.join(offered)}.{nearest(name, offered)}",
            )  # fmt: skip
        if name in options:
            raise scope.source.syntax_error(f"{name} occurs twice", argument, "Write each option once.")
        options[name] = argument.args["expression"]
    return options


def bind_number(scope: Scope, node: exp.Expr) -> float:
    """A constant number. Raises SqlTypeMismatch, SqlNotSupported."""
    value = scope.constant(node)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise scope.source.type_mismatch("this option takes a number", str(value)[:40], node, "Write a number.")


def _function(scope: Scope, node: exp.Expr | None) -> str:
    if node is None:
        return "gauss"
    name = (text_constant(scope, node) or "").lower()
    if name not in DECAY_FUNCTIONS:
        raise scope.source.unknown_name(
            "there is no such decay function", name or construct_name(node), node,
            f"Available: {', '.join(DECAY_FUNCTIONS)}.{nearest(name, DECAY_FUNCTIONS)}",
        )  # fmt: skip
    return name


def _origin(scope: Scope, column: Column, node: exp.Expr) -> float:
    """The origin as the column stores it: 3.5 for numbers, '2024-01-31' for a date."""
    if is_mapped(column.type_params.sql_type):
        return float(scope.value(node, column))
    return bind_number(scope, node)


def _distance(scope: Scope, column: Column, node: exp.Expr) -> float:
    """A distance between two values of the column, as it stores them."""
    kind = sql_type_of(column)
    name = kind.name if kind is not None else ""
    if name in TIME_TYPES:
        micros = interval_micros(scope, node)
        if micros is not None:
            return micros / _MICROS_A_DAY if name == "date" else float(micros)
        if name != "date":
            raise scope.source.type_mismatch(
                f"column {column.name} is a {name}", construct_name(node), node, "Write INTERVAL '30 days'."
            )
    number = bind_number(scope, node)
    return number * 10.0 ** (kind.scale or 0) if kind is not None and kind.is_fixed_point else number
