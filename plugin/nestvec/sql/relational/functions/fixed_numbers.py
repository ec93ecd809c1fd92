"""Macros of DuckDB for NUMERICs as integers: each is the number times a power of ten."""

from __future__ import annotations

from typing import Final

FIXED_NUMBERS: Final = (
    "pg_whole_units(x) AS x::BIGINT",
    "pg_units(x, factor) AS (x * factor)::BIGINT",
    "pg_long_units(x, factor) AS trunc(x)::BIGINT * factor + ((x - trunc(x)) * factor)::BIGINT",
    "pg_wide(units) AS units::HUGEINT",
    "pg_times(units, factor) AS units * factor::HUGEINT",
    "pg_negative(units) AS -units",
    "pg_plus(a, b) AS a + b",
    "pg_minus(a, b) AS a - b",
    "pg_product(a, b) AS a * b",
    "pg_larger(a, b) AS CASE WHEN a >= b THEN a WHEN a < b THEN b END",
    "pg_scale_of(scale, units) AS CASE WHEN units IS NOT NULL THEN scale END",
    "pg_quotient_scale(parts) AS struct_extract(parts, 'scale')",
    """pg_joined_parts(parts, a, b) AS struct_extract(parts, 'integral') * a::HUGEINT
    + struct_extract(parts, 'head') * b::HUGEINT + struct_extract(parts, 'tail')""",
    """pg_joined_long_parts(parts, a, b, c) AS struct_extract(parts, 'high') * a::HUGEINT
    + pg_joined_parts(parts, b, c)""",
    # DuckDB divides 128 bits slowly. A double is at most one beside such a quotient of few digits.
    """pg_near_quotient(x, unit) AS list_transform([(x::DOUBLE / unit::DOUBLE)::BIGINT],
    lambda y: y - (x < y * unit)::INT + (x - y * unit >= unit)::INT)[1]""",
    """pg_size_to_cut(units, added, side) AS abs(units)
    + added::HUGEINT * (side = 0 OR side * sign(units) > 0)::INT""",
    """pg_cut_units(units, unit, added, side) AS list_transform([pg_size_to_cut(units, added, side)],
    lambda x: pg_near_quotient(x, unit::HUGEINT))[1] * sign(units)""",
    """pg_cut_long_units(units, unit, added, side) AS
    pg_size_to_cut(units, added, side) // unit::HUGEINT * sign(units)""",
    """pg_padded_digits(units, places) AS list_transform([abs(units)::VARCHAR],
    lambda s: lpad(s, greatest(length(s), places + 1)::INT, '0'))[1]""",
    """pg_pointed(digits, places, scale) AS left(digits, length(digits) - places) || left('.', scale)
    || substr(digits, length(digits) - places + 1, scale)""",
    """pg_fixed_text(units, places, scale) AS left('-', (units < 0)::INT) ||
    list_transform([pg_padded_digits(units, places)], lambda s: pg_pointed(s, places, scale))[1]""",
    """pg_scale(s) AS CASE WHEN regexp_full_match(s, '-?[0-9.]+')
    THEN CASE WHEN contains(s, '.') THEN strlen(s) - strpos(s, '.') ELSE 0 END::INT END""",
    """pg_min_scale(s) AS pg_scale(CASE WHEN contains(s, '.') THEN rtrim(rtrim(s, '0'), '.') ELSE s END)""",
    "pg_keyed(k, d) AS CASE WHEN k IS NOT NULL THEN {'key': k, 'digits': d} END",
    "pg_digits_of(keyed) AS struct_extract(keyed, 'digits')",
    "pg_digits_of_all(all_keyed) AS list_transform(all_keyed, lambda each: struct_extract(each, 'digits'))",
    "pg_of_group(is_absent, value) AS CASE WHEN is_absent = 0 THEN value END",
    """pg_upper_part(units, unit) AS list_transform([abs(units)],
    lambda x: pg_near_quotient(x, unit::HUGEINT))[1]::HUGEINT * sign(units)""",
    "pg_lower_part(units, unit) AS units - pg_upper_part(units, unit) * unit::HUGEINT",
    "pg_fixed_decimal(units, unit) AS units::DECIMAL(38, 0) * unit",
)
"""In an order in which each one uses only those before it."""
