"""Functions of PostgreSQL and pgvector that DuckDB lacks or computes differently, as macros of DuckDB."""

from __future__ import annotations

from typing import Final

from nestvec.sql.relational.functions.macros import CALLED_MACROS

_DAY: Final = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?"
_ZONE: Final = "(Z|[+-](0[0-9]|1[0-5])(:[0-5][0-9])?)?"
"""Parts of texts that DuckDB reads as PostgreSQL does, and most have; others are read in Python."""

_VECTOR: Final = (
    "vector_dims(v) AS len(v::FLOAT[])",
    """pg_check_dims(v, dims) AS CASE WHEN v IS NULL THEN NULL WHEN len(v) = dims THEN v
    ELSE error('expected ' || dims || ' dimensions, not ' || len(v)) END""",
    "l2_norm(v) AS sqrt(list_sum(list_transform(v::FLOAT[], lambda x: x::DOUBLE * x::DOUBLE)))",
    """vector_same_dims(a, b, kind) AS CASE WHEN len(a) <> len(b)
    THEN error('different ' || kind || ' dimensions ' || len(a) || ' and ' || len(b)) ELSE a END""",
    """subvector(v, start, count, kind) AS CASE WHEN count < 1 OR start > len(v) OR start::BIGINT + count <= 1
    THEN error(kind || ' must have at least 1 dimension')
    ELSE list_slice(v::FLOAT[], greatest(start, 1), start::BIGINT + count - 1) END""",
    # An element of a list is computed once.
    "pg_vector_or_null(x) AS list_transform([x], lambda v: CASE WHEN v[1] IS NOT NULL THEN v END)[1]",
    """binary_quantize(v) AS
    array_to_string(list_transform(v::FLOAT[], lambda x: CASE WHEN x > 0 THEN '1' ELSE '0' END), '')::BIT""",
    """vector_cosine(a, b, kind) AS CASE WHEN l2_norm(a) = 0 OR l2_norm(b) = 0 THEN 'NaN'::DOUBLE
    ELSE list_cosine_distance(vector_same_dims(a, b, kind)::DOUBLE[], b::DOUBLE[]) END""",
    "vector_l2(a, b, kind) AS list_distance(vector_same_dims(a, b, kind)::DOUBLE[], b::DOUBLE[])",
    "vector_ip(a, b, kind) AS -list_inner_product(vector_same_dims(a, b, kind)::DOUBLE[], b::DOUBLE[])",
    """vector_l1(a, b, kind) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN list_sum(list_transform(
    list_zip(vector_same_dims(a, b, kind)::DOUBLE[], b::DOUBLE[]), lambda x: abs(x[1] - x[2]))) END""",
    """bits_of_length(a, b) AS CASE WHEN length(a::BIT) <> length(b::BIT)
    THEN error('different bit lengths ' || length(a::BIT) || ' and ' || length(b::BIT)) ELSE a::BIT END""",
    # NaN of a function in Python is NULL.
    """pg_sparse_measure(a, b, metric) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL
    THEN coalesce(pg_sparse_distance(a, b, metric), 'NaN'::DOUBLE) END""",
    "bits_hamming(a, b) AS bit_count(xor(bits_of_length(a, b), b::BIT))::DOUBLE",
    """bits_jaccard(a, b) AS CASE WHEN bit_count(bits_of_length(a, b) | b::BIT) = 0 THEN 1.0
    ELSE 1 - bit_count(a::BIT & b::BIT)::DOUBLE / bit_count(a::BIT | b::BIT) END""",
)

_ARITHMETIC: Final = (
    """pg_integer_quotient(a, b) AS
    CASE WHEN b = 0 AND a IS NOT NULL THEN error('division by zero') ELSE a // b END""",
    "pg_quotient(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN error('division by zero') ELSE a / b END",
    """pg_float_quotient(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL AND NOT isnan(a)
    THEN error('division by zero') ELSE a / b END""",
    "pg_remainder(a, b) AS CASE WHEN b = 0 AND a IS NOT NULL THEN error('division by zero') ELSE a % b END",
    """pg_trimmed(s) AS CASE WHEN contains(s, '.') THEN rtrim(rtrim(s, '0'), '.') ELSE s END""",
    "pg_bits_of(x, size) AS ((x % size + size + size // 2) % size) - size // 2",
    "pg_bits(a) AS CASE typeof(a) WHEN 'SMALLINT' THEN 16 WHEN 'INTEGER' THEN 32 ELSE 64 END",
    "pg_shift_mask(a) AS CASE WHEN pg_bits(a) = 64 THEN 63 ELSE 31 END",
    """pg_shift_left(a, n) AS pg_bits_of(a::HUGEINT * (1::HUGEINT << (n & pg_shift_mask(a))::HUGEINT),
    1::HUGEINT << pg_bits(a)::HUGEINT)""",
    "pg_shift_right(a, n) AS a >> (n & pg_shift_mask(a))::INTEGER",
    """pg_in_range(x, infinite) AS CASE WHEN isinf(x) AND NOT infinite
    THEN error('value out of range: overflow') ELSE x END""",
    "pg_exp(x) AS pg_in_range(exp(x), isinf(x::DOUBLE))",
    """pg_power(a, b) AS CASE WHEN a = 0 AND b < 0 THEN error('zero raised to a negative power is undefined')
    WHEN a < 0 AND b <> trunc(b) THEN error('a negative number has no fractional power')
    ELSE pg_in_range(pow(a, b), isinf(a::DOUBLE) OR isinf(b::DOUBLE)) END""",
    "pg_acosh(x) AS CASE WHEN x < 1 THEN error('input is out of range') ELSE acosh(x) END",
    """pg_bucket_up(x, low, high, n) AS CASE WHEN x < low THEN 0 WHEN x >= high THEN n + 1
    ELSE floor(n * ((x - low) / (high - low)))::INT + 1 END""",
    """pg_bucket_near(k, above, width) AS CASE WHEN above >= (k + 1) * width THEN k + 1
    WHEN above < k * width THEN k - 1 ELSE k END""",
    # Of numbers that are exact, a quotient in doubles may fall beside its bucket.
    """pg_exact_bucket_up(x, low, high, n) AS CASE WHEN x < low THEN 0 WHEN x >= high THEN n + 1
    ELSE pg_bucket_near(floor((x - low) * n / (high - low))::BIGINT, (x - low) * n, high - low)::INT + 1
    END""",
    """pg_bucket(x, low, high, n) AS CASE WHEN n <= 0 THEN error('count must be greater than zero')
    WHEN low = high THEN error('lower bound cannot equal upper bound')
    WHEN low > high THEN pg_bucket_up(-x, -low, -high, n) ELSE pg_bucket_up(x, low, high, n) END""",
    """pg_exact_bucket(x, low, high, n) AS CASE WHEN n <= 0 THEN error('count must be greater than zero')
    WHEN low = high THEN error('lower bound cannot equal upper bound')
    WHEN low > high THEN pg_exact_bucket_up(-x, -low, -high, n)
    ELSE pg_exact_bucket_up(x, low, high, n) END""",
    """pg_series_end(low, high, step) AS CASE WHEN step = 0 THEN error('step size cannot equal zero')
    WHEN abs((high::HUGEINT - low) / step) > 10000000
    THEN error('more than 10,000,000 values in generate_series()') ELSE high END""",
    "pg_no_nan(x) AS nullif(x, 'NaN'::DOUBLE)",
    """pg_exponent_text(digits, exponent) AS left(digits, 1) ||
    CASE WHEN rtrim(digits[2:], '0') = '' THEN '' ELSE '.' || rtrim(digits[2:], '0') END ||
    'e+' || lpad(exponent::VARCHAR, 2, '0')""",
    r"""pg_float_text(x, places) AS CASE WHEN isnan(x) THEN 'NaN' WHEN x = 'inf'::DOUBLE THEN 'Infinity'
    WHEN x = '-inf'::DOUBLE THEN '-Infinity'
    WHEN strlen(regexp_extract(x::VARCHAR, '^-?([0-9]+)(\.[0-9]+)?$', 1)) > places THEN
    CASE WHEN x < 0 THEN '-' ELSE '' END || pg_exponent_text(
    replace(regexp_replace(abs(x)::VARCHAR, '\.0$', ''), '.', ''),
    strlen(regexp_extract(abs(x)::VARCHAR, '^[0-9]+')) - 1)
    ELSE regexp_replace(x::VARCHAR, '\.0$', '') END""",
    # DuckDB writes all digits of a large REAL, PostgreSQL those that are nearer to it than to another.
    """pg_is_near(s, x) AS (s::DOUBLE * 1.000000000000001::DOUBLE)::FLOAT = x
    AND (s::DOUBLE * 0.999999999999999::DOUBLE)::FLOAT = x""",
    """pg_exponent_of_real(x) AS CASE WHEN pg_is_near(format('{:.5e}', x), x) THEN format('{:.5e}', x)
    WHEN pg_is_near(format('{:.6e}', x), x) THEN format('{:.6e}', x)
    WHEN pg_is_near(format('{:.7e}', x), x) THEN format('{:.7e}', x) ELSE format('{:.8e}', x) END""",
    r"""pg_real_text(x) AS CASE WHEN isfinite(x) AND abs(x) >= 1000000
    THEN regexp_replace(pg_exponent_of_real(x::DOUBLE), '[.]?0*e', 'e') ELSE pg_float_text(x, 6) END""",
)

_CASTS: Final = (
    r"""pg_whole(s, kind) AS CASE WHEN s IS NULL THEN NULL
    WHEN regexp_full_match(s, '\s*[+-]?[0-9]+\s*') THEN s
    ELSE error('invalid input syntax for type ' || kind || ': ''' || left(s, 40) || '''') END""",
    f"""pg_date_of(s) AS CASE WHEN s IS NULL THEN NULL WHEN regexp_full_match(s, '{_DAY}') THEN s::DATE
    ELSE DATE '1970-01-01' + pg_datetime_number(s, 'date')::INT END""",
    f"""pg_time_of(s) AS CASE WHEN s IS NULL THEN NULL WHEN regexp_full_match(s, '{_CLOCK}') THEN s::TIME
    ELSE TIME '00:00:00' + to_microseconds(pg_datetime_number(s, 'time')) END""",
    f"""pg_timestamp_of(s) AS CASE WHEN s IS NULL THEN NULL
    WHEN regexp_full_match(s, '{_DAY}( {_CLOCK})?') THEN s::TIMESTAMP
    ELSE make_timestamp(pg_datetime_number(s, 'timestamp')) END""",
    f"""pg_timestamptz_of(s) AS CASE WHEN s IS NULL THEN NULL
    WHEN regexp_full_match(s, '{_DAY}( {_CLOCK}{_ZONE})?') THEN s::TIMESTAMPTZ
    ELSE make_timestamptz(pg_datetime_number(s, 'timestamptz')) END""",
    # Before the year 1 comes the year -1, in DuckDB 0.
    "pg_year(t) AS date_part('year', t) - CASE WHEN date_part('year', t) > 0 THEN 0 ELSE 1 END",
    """pg_round_time(t, unit) AS CASE WHEN epoch_us(t) + unit // 2 >= 86400000000 THEN TIME '24:00:00'
    ELSE TIME '00:00:00' + to_microseconds((epoch_us(t) + unit // 2) // unit * unit) END""",
    """pg_make_date(y, m, d) AS CASE WHEN y < 1 THEN error('a date before the year 1 is not supported')
    ELSE make_date(y, m, d) END""",
    """pg_interval_unit(n, unit, signed) AS CASE WHEN n = 0 THEN '' ELSE CASE WHEN signed AND n > 0
    THEN '+' ELSE '' END || n || ' ' || unit || CASE WHEN n = 1 THEN ' ' ELSE 's ' END END""",
    """pg_interval_words(y, m, d, t) AS trim(pg_interval_unit(y, 'year', false) ||
    pg_interval_unit(m, 'mon', y < 0) ||
    pg_interval_unit(d, 'day', CASE WHEN m <> 0 THEN m < 0 ELSE y < 0 END) ||
    CASE WHEN t = 0 AND (y <> 0 OR m <> 0 OR d <> 0) THEN '' ELSE CASE WHEN t > 0 AND
    CASE WHEN d <> 0 THEN d < 0 WHEN m <> 0 THEN m < 0 ELSE y < 0 END THEN '+' ELSE '' END ||
    to_microseconds(t)::VARCHAR END)""",
    """pg_interval_text(i) AS pg_interval_words(date_part('year', i), date_part('month', i),
    date_part('day', i), (date_part('hour', i) * 60 + date_part('minute', i)) * 60000000 +
    date_part('microsecond', i))""",
    """pg_later(t, i) AS t + to_months((date_part('year', i) * 12 + date_part('month', i))::INTEGER) +
    to_days(date_part('day', i)::INTEGER) + to_microseconds(
    (date_part('hour', i) * 60 + date_part('minute', i)) * 60000000 + date_part('microsecond', i))""",
    """pg_earlier(t, i) AS t - to_months((date_part('year', i) * 12 + date_part('month', i))::INTEGER) -
    to_days(date_part('day', i)::INTEGER) - to_microseconds(
    (date_part('hour', i) * 60 + date_part('minute', i)) * 60000000 + date_part('microsecond', i))""",
    """pg_interval_time(i) AS TIME '00:00:00' + to_microseconds(((date_part('hour', i) * 60 +
    date_part('minute', i)) * 60000000 + date_part('microsecond', i)) % 86400000000)""",
    # DuckDB writes (BC) before the clock.
    """pg_day_text(s) AS CASE WHEN contains(s, ' (BC)') THEN replace(s, ' (BC)', '') || ' BC' ELSE s END""",
    """pg_json_moment(s, zone) AS CASE WHEN contains(s, 'infinity') THEN s
    ELSE replace(replace(s, ' (BC)', ''), ' ', 'T') || zone ||
    CASE WHEN contains(s, ' (BC)') THEN ' BC' ELSE '' END END""",
    """pg_boolean(s) AS CASE WHEN s IS NULL THEN NULL
    WHEN lower(trim(s)) IN ('t', 'tr', 'tru', 'true', 'y', 'ye', 'yes', 'on', '1') THEN true
    WHEN lower(trim(s)) IN ('f', 'fa', 'fal', 'fals', 'false', 'n', 'no', 'of', 'off', '0') THEN false
    ELSE error('invalid input syntax for type boolean: ''' || left(s, 40) || '''') END""",
)

_TEXT: Final = (
    # DuckDB has a capital of ß, which PostgreSQL leaves as it is.
    """pg_upper(s) AS CASE WHEN contains(s, 'ß')
    THEN array_to_string(list_transform(string_split(s, 'ß'), lambda x: upper(x)), 'ß') ELSE upper(s) END""",
    r"""pg_initcap(s) AS array_to_string(list_transform(
    regexp_extract_all(lower(s), '[\p{L}\p{N}]+|[^\p{L}\p{N}]+'), lambda w: pg_upper(w[1]) || w[2:]), '')""",
    # greatest() and least() pass over NULL.
    """pg_substring(s, start) AS CASE WHEN start IS NOT NULL THEN substring(s, greatest(start, 1)) END,
    (s, start, length) AS CASE WHEN length < 0 THEN error('negative length: negative substring length')
    WHEN start + length IS NOT NULL THEN substring(s, greatest(start, 1),
    greatest(least(start + length, 2147483647) - greatest(start, 1), 0)) END""",
    """pg_split_part(s, d, n) AS CASE WHEN n = 0 THEN error('fields are counted from 1: field position 0')
    WHEN d = '' THEN CASE WHEN n IN (1, -1) THEN s WHEN s IS NOT NULL THEN '' END
    ELSE split_part(s, d, n) END""",
    """pg_overlay(s, r, start, count) AS CASE
    WHEN start <= 0 THEN error('negative length: negative substring length not allowed')
    WHEN count IS NOT NULL THEN left(s, start - 1) || r || substring(s, greatest(start + count, 1)) END""",
    """pg_repeat(s, n) AS CASE WHEN strlen(s) * n > 1048576 THEN error('requested length too large')
    ELSE repeat(s, n) END""",
    "pg_padded_length(n) AS CASE WHEN n > 1048576 THEN error('requested length too large') ELSE n END",
    """pg_number_bits(x, n) AS right(lpad(x::BIGINT::BIT::VARCHAR, greatest(pg_padded_length(n), 64),
    CASE WHEN x < 0 THEN '1' ELSE '0' END), n)::BIT""",
    "pg_sized_bits(b, n) AS left(rpad(b::BIT::VARCHAR, pg_padded_length(n), '0'), n)::BIT",
    """pg_chr(n) AS CASE WHEN n < 0 THEN error('character number must be positive')
    WHEN n = 0 THEN error('null character not permitted') ELSE chr(n) END""",
    r"""quote_literal(s) AS CASE WHEN contains(s::VARCHAR, '\') THEN 'E''' ELSE '''' END ||
    replace(replace(s::VARCHAR, '\', '\\'), '''', '''''') || ''''""",
    """pg_string_to_array(s, d) AS CASE WHEN s = '' THEN []::VARCHAR[] WHEN s IS NULL THEN NULL
    WHEN d IS NULL THEN string_split(s, '') WHEN d = '' THEN [s] ELSE string_split(s, d) END""",
    # A lambda of an outer column would not be found in unnest().
    """array_positions(a, x) AS CASE WHEN a IS NOT NULL THEN list_transform(list_filter(
    list_zip(generate_series(1, len(a)), a, list_resize([x], len(a), x)),
    lambda item: item[2] IS NOT DISTINCT FROM item[3]), lambda item: item[1]) END""",
    """array_replace(a, x, y) AS CASE WHEN a IS NOT NULL THEN list_transform(
    list_zip(a, list_resize([x], len(a), x), list_resize([y], len(a), y)),
    lambda item: CASE WHEN item[1] IS NOT DISTINCT FROM item[2] THEN item[3] ELSE item[1] END) END""",
    """pg_array_remove(a, x) AS CASE WHEN a IS NOT NULL THEN list_transform(list_filter(
    list_zip(a, list_resize([x], len(a), x)),
    lambda item: item[1] IS DISTINCT FROM item[2]), lambda item: item[1]) END""",
    # PostgreSQL divides by its constant, DuckDB multiplies by another.
    "pg_degrees(x) AS x / 0.0174532925199432957692::DOUBLE",
    "pg_radians(x) AS x * 0.0174532925199432957692::DOUBLE",
    "array_lower(a, n) AS CASE WHEN n = 1 AND len(a) > 0 THEN 1 END",
    "array_upper(a, n) AS CASE WHEN n = 1 THEN nullif(len(a), 0) END",
    """trim_array(a, n) AS CASE WHEN n < 0 OR n > len(a)
    THEN error('number of elements to trim must be between 0 and ' || len(a))
    ELSE list_slice(a, 1, len(a) - n) END""",
    """pg_slice(a, low, high) AS CASE WHEN low IS NULL OR high IS NULL THEN NULL
    WHEN high < 1 THEN list_slice(a, 2, 1) ELSE list_slice(a, greatest(low, 1), high) END""",
    # nullif() would compute its first argument twice.
    "pg_unless_empty(s) AS list_filter([s], lambda x: x <> '')[1]",
    "pg_element(a, i) AS CASE WHEN i > 0 THEN a[i] END",
    """pg_any(l) AS CASE WHEN l IS NULL THEN NULL WHEN list_aggregate(l, 'bool_or') THEN true
    WHEN len(l) > list_aggregate(l, 'count') THEN NULL ELSE false END""",
    """pg_all(l) AS CASE WHEN l IS NULL THEN NULL WHEN NOT list_aggregate(l, 'bool_and') THEN false
    WHEN len(l) > list_aggregate(l, 'count') THEN NULL ELSE true END""",
    """pg_has_all(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL
    WHEN len(b) > coalesce(list_aggregate(b, 'count'), 0) THEN false ELSE list_has_all(a, b) END""",
    """octet_length(s) AS
    CASE typeof(s) WHEN 'BIT' THEN (strlen(s::VARCHAR) + 7) // 8 ELSE strlen(s::VARCHAR) END""",
    "pg_bytes_length(b) AS strlen(hex(b)) // 2",
    # DuckDB 1.5 takes date_trunc('month', NULL) = 'a day within a month' for false.
    "pg_cut_time(part, t) AS CASE WHEN t IS NOT NULL THEN date_trunc(part, t) END",
    """pg_cut_century(part, t) AS CASE WHEN t IS NOT NULL THEN
    date_trunc(part, t - INTERVAL 1 YEAR) + INTERVAL 1 YEAR END""",
    "pg_array_length(a) AS nullif(len(a), 0)",
    r"""pg_array_item(x) AS CASE WHEN x IS NULL THEN 'NULL'
    WHEN regexp_full_match(x, '[^\s{},"\\]+') AND upper(x) <> 'NULL' THEN x
    ELSE '"' || replace(replace(x, '\', '\\'), '"', '\"') || '"' END""",
    """pg_array_text(a) AS CASE WHEN a IS NOT NULL THEN
    '{' || array_to_string(list_transform(a, lambda x: pg_array_item(x)), ',') || '}' END""",
)

_JSON: Final = (
    """pg_json_numeric(s) AS CASE WHEN s IN ('NaN', 'Infinity', '-Infinity') THEN to_json(s)
    ELSE s::JSON END""",
    # DuckDB writes 1.0 for 1, exponents, and words without quotes, which are no JSON.
    """pg_json_number(x) AS CASE WHEN x IS NULL THEN NULL
    WHEN NOT isfinite(x) THEN to_json(pg_float_text(x, 15))
    WHEN abs(x) < 1e15 AND x = trunc(x) THEN to_json(x::BIGINT)
    WHEN abs(x) >= 1e-4 AND abs(x) < 1e15 THEN to_json(x)
    ELSE pg_json_numeric(pg_numeric('value', pg_float_text(x, 15), '')) END""",
    """pg_json_type(j) AS CASE json_type(j) WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array'
    WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null'
    ELSE CASE WHEN j IS NOT NULL THEN 'number' END END""",
    # DuckDB writes 1.50 as 1.5, 1e2 as 100.0, and rounds to a double.
    """pg_json_rounds(j) AS regexp_matches(j::VARCHAR, '[.][0-9]+0([^0-9]|$)|[0-9][eE]|[0-9.]{17}')""",
    """pg_json_extract(j, path) AS CASE WHEN pg_json_rounds(j)
    THEN nullif(pg_json_part_text(j, path), '')::JSON ELSE json_extract(j, path) END""",
    # A parameter of a macro is computed wherever it stands; an element of a list is computed once.
    "pg_json_extract_of(j, path) AS list_transform([j], lambda d: pg_json_extract(d, path))[1]",
    "pg_json_pointer(k) AS '/' || replace(replace(k, '~', '~0'), '/', '~1')",
    """pg_json_member(j, k) AS pg_json_extract_of(j, CASE WHEN regexp_full_match(k, '[0-9]+')
    THEN '$."' || k || '"' ELSE pg_json_pointer(k) END)""",
    """pg_json_at(j, n) AS list_transform([j], lambda d: CASE WHEN pg_json_rounds(d)
    THEN nullif(pg_json_part_text(d, '$[' || n || ']'), '')::JSON ELSE d -> n END)[1]""",
    """pg_json_step(j, k) AS CASE json_type(j) WHEN 'OBJECT' THEN pg_json_extract_of(j, pg_json_pointer(k))
    WHEN 'ARRAY' THEN pg_json_at(j, trim(k)::INT) END""",
    """json_array_size(j) AS CASE json_type(j) WHEN 'ARRAY' THEN json_array_length(j)::INTEGER
    ELSE CASE WHEN j IS NOT NULL THEN error('cannot get array length of a non-array') END END""",
    """pg_json_item(j, n) AS CASE json_type(j) WHEN 'ARRAY' THEN pg_json_at(j, n) WHEN 'OBJECT' THEN NULL
    ELSE CASE WHEN n IN (0, -1) THEN j END END""",
    """pg_json_print(j) AS CASE WHEN json_type(j) IN ('OBJECT', 'ARRAY') THEN pg_json_document(j::VARCHAR)
    ELSE j::VARCHAR END""",
    """pg_json_text(j) AS CASE json_type(j) WHEN 'VARCHAR' THEN j ->> '$' WHEN 'NULL' THEN NULL
    ELSE pg_json_print(j) END""",
    """json_has_key(j, k) AS CASE json_type(j) WHEN 'OBJECT' THEN list_contains(json_keys(j), k)
    WHEN 'ARRAY' THEN list_contains(list_transform(json_extract(j, '$[*]')::JSON[],
    lambda x: CASE WHEN json_type(x) = 'VARCHAR' THEN x ->> '$' END), k) WHEN 'VARCHAR' THEN j ->> '$' = k
    ELSE CASE WHEN j IS NOT NULL THEN false END END""",
    """json_has_any(j, keys) AS CASE WHEN j IS NOT NULL THEN
    len(list_filter(keys, lambda k: json_has_key(j, k))) > 0 END""",
    """json_has_all(j, keys) AS CASE WHEN j IS NOT NULL THEN
    len(list_filter(keys, lambda k: k IS NOT NULL AND json_has_key(j, k) IS NOT TRUE)) = 0 END""",
)

MACROS: Final = (*_VECTOR, *_ARITHMETIC, *_CASTS, *_TEXT, *_JSON, *CALLED_MACROS)
"""In an order in which each one uses only those before it."""
