"""Deep expressions: DuckDB writes an argument of a macro wherever the macro names it.

Macros in arguments of macros would grow exponentially. Where a long argument would be repeated, it is
computed once, as an element of a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import chain, repeat
from typing import Final

from sqlglot import exp, parse_one

from nestvec.sql.relational.macros import MACROS
from nestvec.sql.relational.rewrites.nodes import anonymous_name, call
from nestvec_schemas.errors import SqlNotSupported

DUCKDB_MACROS: Final = (
    "array_pop_back(arr) AS arr[:(len(arr) - 1)]",
    "array_to_string(arr, sep) AS CASE WHEN len(arr) = 0 THEN '' ELSE list_aggr(arr, 'string_agg', sep) END",
    "fmod(x, y) AS x - (y * floor(x / y))",
    "nullif(a, b) AS CASE WHEN a = b THEN NULL ELSE a END",
    "round_even(x, n) AS CASE WHEN abs(x) * 10 ^ n = 5 THEN round(x / 2, n) * 2 ELSE round(x, n) END",
    "roundbankers(x, n) AS round_even(x, n)",
    """split_part(s, d, n) AS CASE WHEN s IS NOT NULL AND d IS NOT NULL AND n IS NOT NULL
    THEN coalesce(string_split(s, d)[n], '') END""",
)
"""Those of DuckDB's own macros that name an argument more than once, shortened."""

_NODES: Final[dict[type[exp.Expr], str]] = {
    exp.Nullif: "nullif",
    exp.SplitPart: "split_part",
    exp.ArrayToString: "array_to_string",
}
_CONSTANTS: Final = (exp.Literal, exp.Null, exp.Boolean, exp.Placeholder, exp.Parameter)

_LONG: Final = 100
"""Nodes of an argument, with its macros written out, from which it is computed once."""

DEEP: Final = "Compute a part of it in a subquery, as a column of its own."

MAX_NODES: Final = 10_000
"""Nodes that an operand of CASE or BETWEEN may add by being repeated."""


def compute_once(tree: exp.Expr) -> exp.Expr:
    """Have long arguments computed once. The tree, not a call itself, is changed, and returned.

    Raises SqlNotSupported for what would be too long nevertheless.
    """
    costs: dict[int, int] = {}
    for node in reversed(list(tree.walk())):
        name = _macro(node)
        arguments = _arguments(node)
        repeated = zip(arguments, repeats(name)[1:], strict=False) if name else ()
        if any(times > 1 and costs[id(part)] > _LONG for part, times in repeated):
            cost = repeats(name)[0] + sum(costs[id(part)] for part in arguments) + 20
            costs[id(_bind(node, arguments))] = cost
            continue
        costs[id(node)] = cost = _cost(node, costs)
        if cost - sum(costs[id(part)] for part in node.iter_expressions()) > MAX_NODES:
            raise SqlNotSupported(
                "the expression is nested too deeply",
                value=name.lower() or type(node).__name__.upper(),
                next_step=DEEP,
            )
    return tree


def _macro(node: exp.Expr) -> str:
    """The name of the macro that a node calls; empty if it calls none that repeats an argument."""
    name = (anonymous_name(node) or _NODES.get(type(node), "")).lower()
    return name if name in _bodies() else ""


def _arguments(node: exp.Expr) -> list[exp.Expr]:
    parts = [part for part in node.iter_expressions() if not isinstance(part, exp.Identifier)]
    if isinstance(node, exp.SplitPart):
        parts = [node.args[part] for part in ("this", "delimiter", "part_index") if node.args.get(part)]
    return parts


def _cost(node: exp.Expr, costs: Mapping[int, int]) -> int:
    name = _macro(node)
    if name:
        base, *counts = repeats(name)
        times = chain(counts, repeat(max(counts, default=1)))
        repeated = zip(_arguments(node), times, strict=False)
        return base + sum(costs[id(part)] * count for part, count in repeated)
    cost = 1 + sum(costs[id(part)] for part in node.iter_expressions())
    if isinstance(node, exp.Case) and node.this is not None:
        # DuckDB compares a copy of the operand with each value.
        cost += costs[id(node.this)] * (len(node.args["ifs"]) - 1)
    if isinstance(node, exp.Between):
        cost += costs[id(node.this)]
    return cost


def _bind(node: exp.Expr, arguments: list[exp.Expr]) -> exp.Expr:
    """Have a call, in its place, use arguments that are an element of a list. Returns what calls it."""
    row, values = exp.to_identifier("pg_bound"), exp.Struct()
    computed = exp.Anonymous(this="list_transform", expressions=[exp.Array(expressions=[values])])
    outer = exp.Anonymous(this="list_extract", expressions=[computed, exp.Literal.number(1)])
    node.replace(outer)
    for part in arguments:
        if not isinstance(part, _CONSTANTS):
            field = f"f{len(values.expressions)}"
            part.replace(call("struct_extract", row, exp.Literal.string(field)))
            values.append("expressions", exp.PropertyEQ(this=exp.to_identifier(field), expression=part))
    computed.append("expressions", exp.Lambda(this=node, expressions=[row]))
    return outer


@cache
def _bodies() -> dict[str, tuple[list[str], exp.Expr]]:
    """Parameters and bodies of the macros, of overloaded ones those of the last."""
    bodies = {}
    for macro in (*DUCKDB_MACROS, *MACROS):
        name = macro.split("(", 1)[0]
        text = re.split(r",\n    (?=\([a-z, ]+\) AS )", macro)[-1].removeprefix(name)
        parameters, body = text.split(" AS", 1)
        names = [part.strip() for part in parameters.strip("()").split(",")]
        bodies[name] = (names, parse_one(body, dialect="duckdb"))
    return bodies


@cache
def repeats(name: str) -> tuple[int, ...]:
    """The nodes of a macro's body, then how often it has each parameter."""
    if name not in _bodies():
        return (0,)
    parameters, body = _bodies()[name]
    base = _size(body, dict.fromkeys(parameters, 0))
    counts = [_size(body, {**dict.fromkeys(parameters, 0), parameter: 1}) - base for parameter in parameters]
    return (base, *counts)


def _size(body: exp.Expr, parameters: Mapping[str, int]) -> int:
    costs: dict[int, int] = {}
    for node in reversed(list(body.walk())):
        if isinstance(node, exp.Column) and not node.table and node.name in parameters:
            costs[id(node)] = parameters[node.name]
        else:
            costs[id(node)] = _cost(node, costs)
    return costs[id(body)]
