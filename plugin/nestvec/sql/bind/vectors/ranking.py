"""Rankings made of several: ``RRF(v <=> 'q', body <@> 'q')``, ``WEIGHTED(…, weights => ARRAY[0.7, 0.3])``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.bind.params import NODES
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.distance import Nearest, bind_distance
from nestvec.sql.bind.vectors.targets import bare
from nestvec.sql.parse.construct_names import words
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import folded

K: Final = 60.0
"""RRF's constant where none is written (Cormack et al. 2009)."""

_MAX_K: Final = 16_384
_MAX_CANDIDATES: Final = 16_384

_FUNCTIONS: Final = ("RRF", "WEIGHTED")


@dataclass(frozen=True)
class Fused:
    """Rows by several distances at once: by the ranks in each (``k``), or by the ``weights`` of each.

    ``candidates`` are the nearest rows by each distance that count; None leaves it to the planner.
    """

    parts: tuple[Nearest, ...]
    k: float = K
    weights: tuple[float, ...] = ()
    candidates: int | None = None


def is_fused(node: exp.Expr) -> bool:
    """Whether a node is a call of RRF or WEIGHTED."""
    return isinstance(node, exp.Anonymous) and str(node.this).upper() in _FUNCTIONS


def bind_fused(scope: Scope, node: exp.Expr) -> Fused:
    """Check the parts and the options. Raises the errors of ``bind_query``."""
    source, name = scope.source, str(node.this).upper()
    weighted = name == "WEIGHTED"
    parts: list[Nearest] = []
    options: dict[str, exp.Expr] = {}
    for one in node.expressions:
        if isinstance(one, exp.Kwarg):
            option = folded(one.this)
            if option not in _OPTIONS[name]:
                raise source.unknown_name(
                    f"{name} has no such option", option, one, f"It has {', '.join(_OPTIONS[name])}."
                )
            options[option] = one.args["expression"]
            continue
        distance = bare(one)
        if not isinstance(distance, VectorDistance):
            raise source.not_supported(
                f"{words(distance)} in {name}", one, f"Write {name}(v <=> 'text', body <@> 'text')."
            )
        # A fused ranking is by the vectors themselves: no shortlist stands for a whole ranking.
        found = bind_distance(scope, distance)
        parts.append(Nearest(found.column, found.metric, found.target))
    if len(parts) < 2:
        raise source.syntax_error(f"{name} takes two distances or more", node, "Write one without it.")
    weights = _weights(scope, options.get("weights"), len(parts), node) if weighted else ()
    k = _number(scope, options["k"], 0, _MAX_K) if "k" in options else K
    candidates = (
        _number(scope, options["candidates"], 0, _MAX_CANDIDATES) if "candidates" in options else None
    )
    return Fused(tuple(parts), k, weights, int(candidates) if candidates is not None else None)


_OPTIONS: Final = {"RRF": ("k", "candidates"), "WEIGHTED": ("weights", "candidates")}


def _weights(scope: Scope, node: exp.Expr | None, count: int, at: exp.Expr) -> tuple[float, ...]:
    source = scope.source
    if node is None:
        raise source.syntax_error("WEIGHTED needs weights", at, "Add weights => ARRAY[0.7, 0.3].")
    given: list[float] | None = None
    if isinstance(node, exp.Array):
        given = [_number(scope, one, None, 1) for one in node.expressions]
    elif isinstance(node, NODES):
        value = scope.params.value(source, node)
        if isinstance(value, (list, tuple)):
            given = [_checked(scope, one, node, None, 1) for one in value]
    if given is None or len(given) != count:
        found = "no list" if given is None else len(given)
        raise source.type_mismatch(
            f"WEIGHTED has {count} distances", found, node, "Give as many weights, from 0 to 1."
        )
    return tuple(given)


def _number(scope: Scope, node: exp.Expr, above: float | None, most: float) -> float:
    if isinstance(node, NODES):
        return _checked(scope, scope.params.value(scope.source, node), node, above, most)
    value = float(str(node.this)) if isinstance(node, exp.Literal) and not node.is_string else None
    return _checked(scope, value, node, above, most)


def _checked(scope: Scope, value: Any, node: exp.Expr, above: float | None, most: float) -> float:
    """A number over ``above`` (from 0, where that is None) and at most ``most``."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if fits and value <= most and (value >= 0 if above is None else value > above):
        return float(value)
    lower = "from 0" if above is None else f"over {above:g}"
    raise scope.source.type_mismatch(
        f"this option takes a number {lower} to {most:,}",
        value if isinstance(value, (int, float)) else words(node),
        node,
        "Write another.",
    )
