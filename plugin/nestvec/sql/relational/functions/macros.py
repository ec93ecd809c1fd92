"""Functions of PostgreSQL over texts, times, arrays and JSON that DuckDB lacks, as macros of DuckDB."""

from __future__ import annotations

from typing import Final

_TIMES: Final = (
    """pg_to_char_moment(t, pattern, zoned) AS CASE WHEN isfinite(t) AND pattern <> ''
    THEN pg_format_moment(epoch_us(t::TIMESTAMP), pattern, zoned) END""",
    """pg_interval_months(i) AS date_part('year', i) * 12 + date_part('month', i)""",
    """pg_interval_micros(i) AS (date_part('hour', i) * 60 + date_part('minute', i)) * 60000000 +
    date_part('microsecond', i)""",
    """pg_to_char_interval(i, pattern) AS CASE WHEN pattern <> '' THEN
    pg_format_interval(pg_interval_months(i), date_part('day', i), pg_interval_micros(i), pattern) END""",
    "pg_to_date(s, pattern) AS DATE '1970-01-01' + pg_read_day(s, pattern)",
)

CALLED_MACROS: Final = _TIMES
"""In an order in which each one uses only those before it."""
