"""Comparisons of two values, neither of which is NULL: ``evaluate`` handles NULL."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "not": operator.not_,
}
