"""Functions of PostgreSQL that are computed in Python, as DuckDB registers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nestvec.sql.relational.formats.numbers import format_number
from nestvec.sql.relational.formats.read_times import read_day, read_moment
from nestvec.sql.relational.formats.time_texts import format_interval, format_moment

Function = tuple[str, Callable[..., Any], list[Any], str]
"""The name, the function, the types of its parameters, and that of its result. NULL gives NULL."""

PYTHON_FUNCTIONS: Final[tuple[Function, ...]] = (
    ("pg_format_moment", format_moment, ["BIGINT", "VARCHAR", "BOOLEAN"], "VARCHAR"),
    ("pg_format_interval", format_interval, ["BIGINT", "BIGINT", "BIGINT", "VARCHAR"], "VARCHAR"),
    ("pg_format_number", format_number, ["VARCHAR", "VARCHAR", "INTEGER"], "VARCHAR"),
    ("pg_read_day", read_day, ["VARCHAR", "VARCHAR"], "INTEGER"),
    ("pg_read_moment", read_moment, ["VARCHAR", "VARCHAR"], "BIGINT"),
)
