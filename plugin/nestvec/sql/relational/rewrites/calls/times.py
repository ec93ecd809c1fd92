"""Functions of times and intervals."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.datetime_texts import DATETIME_TYPES, datetime_of_text
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, Rule, call, is_text_constant, kind
from nestvec_schemas.errors import SqlNotSupported

_PARTS: Final = ("year", "month", "week", "day", "hour", "minute", "second")
_NAMES: Final = ("years", "months", "weeks", "days", "hours", "mins", "secs")


def justified(parts: str) -> Rule:
    """``justify_hours(i)`` and its like."""
    return lambda node: call("pg_justified", interval_of(node.this), exp.Literal.string(parts))


def interval_of(node: exp.Expr) -> exp.Expr:
    """A value as an interval: a constant in quotes has no type of its own."""
    return exp.cast(node.copy(), "interval") if is_text_constant(node) else node


def made_interval(node: exp.MakeInterval) -> exp.Expr:
    """``make_interval(days => 10)``, also by position."""
    numbers: dict[str, exp.Expr] = {}
    for part, name in zip(_PARTS, _NAMES, strict=True):
        value = node.args.get(part)
        if isinstance(value, exp.Kwarg):
            numbers[value.this.name.lower()] = value.expression
        elif value is not None:
            numbers[name] = value
    unknown = sorted(numbers.keys() - set(_NAMES))
    if unknown:
        raise SqlNotSupported(
            f"{unknown[0]} of make_interval() is not supported", next_step=f"Use {', '.join(_NAMES)}."
        )
    return call("pg_make_interval", *(numbers.get(name, exp.Literal.number(0)) for name in _NAMES))


def binned(node: exp.Anonymous) -> exp.Expr:
    """``date_bin(stride, t, origin)``."""
    stride, source, origin = node.expressions
    type_ = kind(source) if kind(source) in DATETIME_TYPES else kind(origin)
    if type_ not in DATETIME_TYPES or type_ == exp.DType.TIME:
        type_ = exp.DType.TIMESTAMPTZ
    if type_ == exp.DType.DATE:
        type_ = exp.DType.TIMESTAMP
    moments = [moment_of(part, type_) for part in (source, origin)]
    return call("pg_date_bin", interval_of(stride), *moments)


def moment_of(node: exp.Expr, type_: exp.DType) -> exp.Expr:
    """A value as a timestamp; a constant in quotes is read as PostgreSQL reads it."""
    if is_text_constant(node) or kind(node) in TEXT_TYPES:
        return datetime_of_text(node, type_)
    return node if kind(node) == type_ else exp.cast(node.copy(), exp.DataType(this=type_, nested=False))


def timestamp_in_zone(node: exp.Anonymous) -> exp.Expr:
    """``make_timestamptz(…)``, in the session's zone, UTC, or in one that is named."""
    *numbers, zone = node.expressions if len(node.expressions) == 7 else [*node.expressions, None]
    moment = call("make_timestamp", *numbers)
    if zone is None:
        return exp.cast(moment, exp.DType.TIMESTAMPTZ)
    return exp.paren(exp.AtTimeZone(this=moment, zone=zone.copy()))


def moved(macro: str) -> Rule:
    """``date_add(moment, interval [, zone])`` and its like: in the session's zone, UTC, or another."""

    def rewrite(node: exp.Expr) -> exp.Expr:
        moment, span, *zone = node.expressions
        moment = moment_of(moment, exp.DType.TIMESTAMPTZ)
        return call(macro, moment, interval_of(span), *(zone or [exp.Literal.string("UTC")]))

    return rewrite


def finite(node: exp.Anonymous) -> exp.Expr:
    """``isfinite(interval)``, which every interval is."""
    value = node.expressions[0]
    if kind(value) != exp.DType.INTERVAL:
        return node
    present = exp.Is(this=value.copy(), expression=exp.null(), negate=True)
    return call("nullif", present, exp.false())


def overlapping(node: exp.Overlaps) -> exp.Expr:
    """``(start, end) OVERLAPS (start, interval)``."""
    bounds: list[exp.Expr] = []
    pairs = [side.expressions for side in (node.this, node.expression) if isinstance(side, exp.Tuple)]
    if [len(pair) for pair in pairs] != [2, 2]:
        raise SqlNotSupported("OVERLAPS of other than two pairs is not supported", next_step="Write pairs.")
    first = next((kind(pair[0]) for pair in pairs if kind(pair[0]) in DATETIME_TYPES), exp.DType.TIMESTAMPTZ)
    for start, end in pairs:
        bounds.append(moment_of(start, first))
        if kind(end) == exp.DType.INTERVAL:
            bounds.append(exp.paren(exp.Add(this=bounds[-1].copy(), expression=end.copy())))
        else:
            bounds.append(moment_of(end, first))
    return call("pg_overlaps", *bounds)
