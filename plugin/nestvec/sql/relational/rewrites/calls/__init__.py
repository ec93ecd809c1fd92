"""Rules for functions of PostgreSQL that neither sqlglot nor DuckDB has, by their names."""

from __future__ import annotations

from typing import Final

from nestvec.sql.relational.rewrites.calls.formats import format_value, read_date, read_timestamp
from nestvec.sql.relational.rewrites.nodes import Rule

CALLS: Final[dict[str, Rule]] = {
    "TO_CHAR": format_value,
    "TO_DATE": read_date,
    "TO_TIMESTAMP": read_timestamp,
}
