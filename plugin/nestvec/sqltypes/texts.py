"""Values as PostgreSQL prints them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np

from nestvec.sqltypes.intervals import interval_text
from nestvec.sqltypes.vector_texts import real_text
from nestvec.terminal.values import shortest_float32


def any_text(value: Any) -> bytes:
    """A value of any type as PostgreSQL prints it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, (dict, list, tuple)):
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, float) for item in value):
            return vector_text(value)
        return json_text(value)
    for kind, encode in _BY_CLASS:
        if isinstance(value, kind):
            return encode(value)
    return str(value).encode("utf-8", "replace")


def bool_text(value: Any) -> bytes:
    """``t`` or ``f``."""
    return b"t" if value else b"f"


def float_text(value: Any) -> bytes:
    """The shortest text that reads back as this double, in PostgreSQL's notation."""
    return format_float(float(value), repr).encode()


def float4_text(value: Any) -> bytes:
    """The shortest text that reads back as this 32-bit float."""
    return format_float(float(value), lambda number: shortest_float32(number)).encode()


def format_float(value: float, shortest: Callable[[float], str]) -> str:
    """PostgreSQL writes exponents below -4 and from 15 (from 6 for 32 bits) on: ``1e+15``, ``1.5e-05``."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digits, exponent = Decimal(shortest(value)).normalize().as_tuple()
    shown = "".join(map(str, digits))
    scale = len(shown) + int(exponent) - 1
    minus = "-" if sign else ""
    if scale < -4 or scale >= (15 if shortest is repr else 6):
        mantissa = shown[0] + (f".{shown[1:]}" if len(shown) > 1 else "")
        return f"{minus}{mantissa}e{'-' if scale < 0 else '+'}{abs(scale):02d}"
    return f"{minus}{Decimal((0, digits, int(exponent))):f}"


def numeric_text(number: Decimal) -> bytes:
    """Digits without an exponent."""
    if not number.is_finite():
        return b"NaN" if number.is_nan() else b"Infinity" if number > 0 else b"-Infinity"
    return f"{number:f}".encode()


def json_text(value: Any) -> bytes:
    """As jsonb prints it, ``{"a": 1}``."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value, ensure_ascii=False, default=_json_default).encode("utf-8", "replace")


def _json_default(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return value.tolist() if hasattr(value, "tolist") else str(value)


def bytea_text(value: Any) -> bytes:
    """``\\x00ff``."""
    return value.encode() if isinstance(value, str) else b"\\x" + bytes(value).hex().encode()


def _date_text(value: Any) -> bytes:
    return (value.date() if isinstance(value, datetime) else value).isoformat().encode()


def timestamp_text(value: datetime) -> str:
    """``2026-01-31 08:30:00.5``, and ``+00`` if it has a time zone."""
    aware = value.tzinfo is not None
    moment = value.astimezone(UTC).replace(tzinfo=None) if aware else value
    text = moment.isoformat(sep=" ")
    if "." in text:
        text = text.rstrip("0")
    return f"{text}+00" if aware else text


def time_text(value: time) -> str:
    """``08:30:00.5``."""
    text = value.replace(tzinfo=None).isoformat()
    return text.rstrip("0") if "." in text else text


def vector_text(value: Any) -> bytes:
    """``[1,2.5,3]``."""
    if isinstance(value, (str, bytes)):
        return value if isinstance(value, bytes) else value.encode()
    return f"[{','.join(map(real_text, np.asarray(value, np.float32).tolist()))}]".encode()


_BY_CLASS: Final[tuple[tuple[type, Callable[[Any], bytes]], ...]] = (
    (bool, bool_text),
    (int, lambda value: b"%d" % value),
    (float, float_text),
    (Decimal, numeric_text),
    ((bytes), bytea_text),
    (datetime, lambda value: timestamp_text(value).encode()),
    (date, _date_text),
    (time, lambda value: time_text(value).encode()),
    (timedelta, lambda value: interval_text(value).encode()),
    (Mapping, json_text),
)
