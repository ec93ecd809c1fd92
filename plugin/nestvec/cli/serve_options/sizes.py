"""Sizes of memory as people write them: ``4GB``, ``512MiB``, ``1000000``."""

from __future__ import annotations

import re
from typing import Any, Final

import click

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([KMGT]?)(I?)B?", re.ASCII)


class Bytes(click.ParamType[int]):
    """A size as a number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = _SIZE.fullmatch(str(value).strip().upper())
        if isinstance(value, bool) or match is None or (match[3] and not match[2]):
            self.fail(f"'{value}' is not a size. Write 4GB, 512MiB or a number of bytes.", param, ctx)
        number, unit, binary = match.groups()
        factor = 1 << (10 * list(_UNITS).index(unit)) if binary else _UNITS[unit]
        size = int(float(number) * factor)
        if size <= 0:
            self.fail("the size must be greater than 0.", param, ctx)
        return size
