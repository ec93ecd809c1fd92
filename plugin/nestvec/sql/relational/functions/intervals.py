"""Intervals whose parts are carried over: justify_hours() and its like."""

from __future__ import annotations

_DAY = 86_400_000_000
_MONTH = 30


def justify(months: int, days: int, micros: int, parts: str) -> list[int]:
    """Months, days and microseconds; ``parts`` is what is carried: hours, days or interval."""
    if parts != "hours" and (parts == "days" or (days > 0) == (micros > 0) or micros == 0):
        months, days = _carried(months, days, _MONTH)
    if parts != "days":
        days, micros = _carried(days, micros, _DAY)
    if parts == "interval":
        months, days = _carried(months, days, _MONTH)
        if months > 0 and (days < 0 or (days == 0 and micros < 0)):
            months, days = months - 1, days + _MONTH
        elif months < 0 and (days > 0 or (days == 0 and micros > 0)):
            months, days = months + 1, days - _MONTH
        days, micros = _same_sign(days, micros, _DAY)
    elif parts == "days":
        months, days = _same_sign(months, days, _MONTH)
    else:
        days, micros = _same_sign(days, micros, _DAY)
    return [months, days, micros]


def _carried(large: int, small: int, size: int) -> tuple[int, int]:
    carried = abs(small) // size * (-1 if small < 0 else 1)
    return large + carried, small - carried * size


def _same_sign(large: int, small: int, size: int) -> tuple[int, int]:
    if large > 0 > small:
        return large - 1, small + size
    if large < 0 < small:
        return large + 1, small - size
    return large, small
