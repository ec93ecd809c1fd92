"""Functions of PostgreSQL over texts, times, arrays and JSON that DuckDB lacks, as macros of DuckDB."""

from __future__ import annotations

from typing import Final

from nestvec.sql.relational.functions.fixed_numbers import FIXED_NUMBERS

_TIMES: Final = (
    """pg_to_char_moment(t, pattern, zoned) AS CASE WHEN isfinite(t) AND pattern <> ''
    THEN pg_format_moment(epoch_us(t::TIMESTAMP), pattern, zoned) END""",
    """pg_interval_months(i) AS date_part('year', i) * 12 + date_part('month', i)""",
    """pg_interval_micros(i) AS (date_part('hour', i) * 60 + date_part('minute', i)) * 60000000 +
    date_part('microsecond', i)""",
    """pg_to_char_interval(i, pattern) AS CASE WHEN pattern <> '' THEN
    pg_format_interval(pg_interval_months(i), date_part('day', i), pg_interval_micros(i), pattern) END""",
    """pg_to_char(x, pattern) AS CASE typeof(x)
    WHEN 'TIMESTAMP' THEN pg_to_char_moment(TRY_CAST(x::VARCHAR AS TIMESTAMP), pattern, false)
    WHEN 'DATE' THEN pg_to_char_moment(TRY_CAST(x::VARCHAR AS TIMESTAMP), pattern, true)
    WHEN 'TIMESTAMP WITH TIME ZONE'
    THEN pg_to_char_moment(TRY_CAST(x::VARCHAR AS TIMESTAMPTZ)::TIMESTAMP, pattern, true)
    WHEN 'VARCHAR' THEN error('to_char() of a text is not supported: cast it to a number or a time')
    WHEN 'INTERVAL' THEN pg_to_char_interval(TRY_CAST(x::VARCHAR AS INTERVAL), pattern)
    ELSE pg_format_number(x::VARCHAR, pattern,
    CASE typeof(x) WHEN 'DOUBLE' THEN 15 WHEN 'FLOAT' THEN 6 ELSE 0 END) END""",
    "pg_to_date(s, pattern) AS DATE '1970-01-01' + pg_read_day(s, pattern)",
    "pg_interval(parts) AS to_months(parts[1]::INT) + to_days(parts[2]::INT) + to_microseconds(parts[3])",
    """pg_justified(i, parts) AS
    pg_interval(pg_justify(pg_interval_months(i), date_part('day', i), pg_interval_micros(i), parts))""",
    """pg_make_interval(y, m, w, d, h, mi, s) AS to_months((y * 12 + m)::INT) + to_days((w * 7 + d)::INT) +
    to_microseconds(h::BIGINT * 3600000000 + mi::BIGINT * 60000000 + round(s * 1000000)::BIGINT)""",
    """pg_binned(stride, distance) AS distance - distance % stride -
    CASE WHEN distance % stride < 0 THEN stride ELSE 0 END""",
    """pg_bin_width(i) AS CASE
    WHEN pg_interval_months(i) <> 0 THEN error('timestamps cannot be binned into intervals with months')
    WHEN date_part('day', i) * 86400000000 + pg_interval_micros(i) <= 0
    THEN error('stride must be greater than zero')
    ELSE date_part('day', i) * 86400000000 + pg_interval_micros(i) END""",
    """pg_date_bin(i, t, origin) AS
    origin + to_microseconds(pg_binned(pg_bin_width(i), epoch_us(t) - epoch_us(origin)))""",
    "clock_timestamp() AS make_timestamptz(pg_wall_clock())",
    "timeofday() AS strftime(make_timestamp(pg_wall_clock()), '%a %b %d %H:%M:%S.%f %Y') || ' UTC'",
    # Days and months are those of a calendar of the zone, hours are not.
    """pg_later_in_zone(t, i, zone) AS
    ((t AT TIME ZONE zone) + to_months(pg_interval_months(i)::INT) + to_days(date_part('day', i)::INT))
    AT TIME ZONE zone + to_microseconds(pg_interval_micros(i))""",
    """pg_earlier_in_zone(t, i, zone) AS
    ((t AT TIME ZONE zone) - to_months(pg_interval_months(i)::INT) - to_days(date_part('day', i)::INT))
    AT TIME ZONE zone - to_microseconds(pg_interval_micros(i))""",
    """pg_overlaps_of(a, b, c, d) AS CASE
    WHEN a > c THEN CASE WHEN a < d THEN true WHEN b IS NULL OR d IS NULL THEN NULL ELSE false END
    WHEN a < c THEN CASE WHEN b IS NULL THEN NULL WHEN c < b THEN true WHEN d IS NULL THEN NULL ELSE false END
    WHEN a = c THEN CASE WHEN b IS NULL OR d IS NULL THEN NULL ELSE true END END""",
    "pg_period_start(a, b) AS CASE WHEN a IS NULL OR b < a THEN b ELSE a END",
    "pg_period_end(a, b) AS CASE WHEN a IS NULL THEN NULL WHEN b < a THEN a ELSE b END",
    """pg_overlaps(a, b, c, d) AS pg_overlaps_of(pg_period_start(a, b), pg_period_end(a, b),
    pg_period_start(c, d), pg_period_end(c, d))""",
)

_ZONES: Final = (
    """pg_cut_in_zone(part, t, zone) AS CASE WHEN t IS NOT NULL THEN
    CASE WHEN part IN ('hour', 'minute', 'second', 'milliseconds', 'microseconds')
    THEN t - ((t AT TIME ZONE zone) - date_trunc(part, t AT TIME ZONE zone))
    ELSE date_trunc(part, t AT TIME ZONE zone) AT TIME ZONE zone END END""",
)

_TEXTS: Final = (
    """pg_float_of(s, x) AS CASE WHEN isinf(x) AND NOT contains(lower(s), 'inf')
    OR x = 0 AND regexp_matches(s, '^[^eE]*[1-9]')
    THEN error('"' || left(s, 40) || '" is out of range of the type') ELSE x END""",
    "pg_quoted_or_null(x, s) AS CASE WHEN x IS NULL THEN 'NULL' ELSE quote_literal(s) END",
    """pg_format_ident(x, s) AS CASE
    WHEN x IS NULL THEN error('null values cannot be formatted as an SQL identifier')
    ELSE pg_quote_ident(s) END""",
    """pg_in_width(s, n, at_left) AS CASE WHEN length(s) >= n THEN s WHEN at_left THEN rpad(s, n, ' ')
    ELSE lpad(s, n, ' ') END""",
    "pg_with_nulls(a, x) AS list_transform(a, lambda item: CASE WHEN item = x THEN NULL ELSE item END)",
    """pg_bucket_of(x, a) AS CASE WHEN len(a) > list_count(a)
    THEN error('thresholds array must not contain NULLs')
    WHEN x IS NOT NULL THEN len(list_filter(a, lambda y: y <= x))::INT END""",
    """pg_joined_texts(a, d) AS CASE WHEN a IS NOT NULL AND d IS NOT NULL
    THEN coalesce(array_to_string(a, d), '') END""",
    "pg_total_length(texts) AS coalesce(list_sum(list_transform(texts, lambda item: length(item))), 0)",
    """pg_match_place(pieces, matches, n, before, start) AS CASE WHEN matches IS NULL THEN NULL
    WHEN len(matches) < n THEN 0
    ELSE pg_total_length(pieces[1:n]) + pg_total_length(matches[1:before]) + start END""",
    """array_fill(x, dims) AS CASE WHEN dims IS NULL OR list_count(dims) < len(dims)
    THEN error('dimension values cannot be null')
    WHEN len(dims) > 1 THEN error('an array of several dimensions is not supported')
    WHEN dims[1] < 0 OR dims[1] > 134217727 THEN error('array size exceeds the maximum allowed')
    ELSE list_resize([x], coalesce(dims[1], 0), x) END""",
    "pg_subscripts(a) AS range(1, len(a) + 1)::INT[]",
    "array_dims(a) AS CASE WHEN len(a) > 0 THEN '[1:' || len(a) || ']' END",
    "array_ndims(a) AS CASE WHEN len(a) > 0 THEN 1 END",
)

_JSON: Final = (
    # DuckDB writes 1.50 as 1.5.
    """pg_json_plain_text(j) AS CASE json_type(j) WHEN 'VARCHAR' THEN j ->> '$' WHEN 'NULL' THEN NULL
    ELSE pg_json_print(j) END""",
    "pg_json_texts(a) AS list_transform(a, lambda item: pg_json_plain_text(item))",
    "pg_json_item_texts(j) AS pg_json_texts(pg_json_items(j))",
    """pg_json_written_text(j) AS CASE json_type(j) WHEN 'VARCHAR' THEN j ->> '$' WHEN 'NULL' THEN NULL
    ELSE j::VARCHAR END""",
    "pg_json_written_texts(a) AS list_transform(a, lambda item: pg_json_written_text(item))",
    "pg_json_written_item_texts(j) AS pg_json_written_texts(pg_json_written_items(j))",
    # What DuckDB reads as it is written is not read in Python.
    r"""pg_json_is_plain(j, part) AS json_type(part) IN ('VARCHAR', 'BOOLEAN', 'NULL')
    AND len(json_keys(j)) = len(list_distinct(json_keys(j))) AND NOT contains(part::VARCHAR, '\')""",
    """pg_json_written(j, k, role) AS list_transform([j], lambda d: CASE
    WHEN role = 'key' AND json_type(d) = 'OBJECT' AND pg_json_is_plain(d, json_extract(d, pg_json_pointer(k)))
    THEN json_extract(d, pg_json_pointer(k))
    ELSE nullif(pg_json_written_part(d, k, role), '')::JSON END)[1]""",
)

CALLED_MACROS: Final = (*_TIMES, *_ZONES, *_TEXTS, *_JSON, *FIXED_NUMBERS)
"""In an order in which each one uses only those before it."""
