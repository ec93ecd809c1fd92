"""Constants of the type INTERVAL, as microseconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from sqlglot import exp

from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope

TIME_TYPES: Final = frozenset({"date", "time", "timestamp", "timestamptz"})
"""SQL types whose values are apart by an interval."""

_MICROSECONDS: Final = {
    "microsecond": 1, "us": 1, "millisecond": 1_000, "ms": 1_000,
    "second": 1_000_000, "sec": 1_000_000, "s": 1_000_000,
    "minute": 60_000_000, "min": 60_000_000, "m": 60_000_000,
    "hour": 3_600_000_000, "hr": 3_600_000_000, "h": 3_600_000_000,
    "day": 86_400_000_000, "d": 86_400_000_000, "week": 604_800_000_000, "w": 604_800_000_000,
}  # fmt: skip
_PART = re.compile(r"\s*([-+]?[0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([a-z]+)\s*", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"\s*([0-9]{1,6}):([0-9]{2})(?::([0-9]{2}(?:\.[0-9]{1,6})?))?\s*", re.ASCII)


def interval_micros(scope: Scope, node: exp.Expr) -> int | None:
    """The microseconds of ``INTERVAL '30 days'``, or of a parameter; None for anything else.

    Raises SqlTypeMismatch for months and years, which are not of one length, and for other texts.
    """
    if isinstance(node, PARAMETER_NODES):
        value = scope.params.value(scope.source, node)
        return value // timedelta(microseconds=1) if isinstance(value, timedelta) else None
    if isinstance(node, exp.Interval):
        unit = node.args.get("unit")
        text = f"{node.this.name} {unit.name if isinstance(unit, exp.Expr) else ''}"
    elif isinstance(node, exp.Cast) and node.args["to"].this == exp.DType.INTERVAL:
        text = str(node.this.name)
    else:
        return None
    micros = _parse(text)
    if micros is None:
        raise scope.source.type_mismatch(
            "this is not an interval of days and smaller units", text.strip()[:40], node,
            "Write INTERVAL '30 days'; months and years differ in their lengths.",
        )  # fmt: skip
    return micros


def _parse(text: str) -> int | None:
    total, at = 0, 0
    while at < len(text):
        part, clock = _PART.match(text, at), _CLOCK.match(text, at)
        if clock is not None:
            hours, minutes, seconds = clock[1], clock[2], clock[3] or "0"
            total += (int(hours) * 3600 + int(minutes) * 60) * 1_000_000 + round(float(seconds) * 1e6)
            at = clock.end()
            continue
        unit = part[2].lower() if part is not None else ""
        size = _MICROSECONDS.get(unit) or _MICROSECONDS.get(unit.removesuffix("s"))
        if part is None or size is None:
            return None
        total, at = total + round(float(part[1]) * size), part.end()
    return total if text.strip() else None
