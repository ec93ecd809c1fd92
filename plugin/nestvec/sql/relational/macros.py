"""Functions of PostgreSQL and pgvector that DuckDB lacks or computes differently, as macros of DuckDB."""

from __future__ import annotations

from typing import Final

_VECTOR: Final = (
    "vector_dims(v) AS len(v::FLOAT[])",
    "pg_check_dims(v, dims) AS CASE WHEN len(v) = dims THEN v WHEN v IS NULL THEN NULL "
    "ELSE error('expected ' || dims || ' dimensions, not ' || len(v)) END",
    "l2_norm(v) AS sqrt(list_sum(list_transform(v::FLOAT[], lambda x: x::DOUBLE * x::DOUBLE)))",
    "l2_normalize(v) AS CASE WHEN l2_norm(v) = 0 THEN v::FLOAT[] "
    "ELSE list_transform(v::FLOAT[], lambda x: (x / l2_norm(v))::FLOAT) END",
    "subvector(v, start, count) AS list_slice(v::FLOAT[], start, start + count - 1)",
    "binary_quantize(v) AS "
    "array_to_string(list_transform(v::FLOAT[], lambda x: CASE WHEN x > 0 THEN '1' ELSE '0' END), '')::BIT",
    "vector_cosine(a, b) AS CASE WHEN l2_norm(a) = 0 OR l2_norm(b) = 0 THEN 'NaN'::DOUBLE "
    "ELSE list_cosine_distance(a::DOUBLE[], b::DOUBLE[]) END",
    "vector_l2(a, b) AS list_distance(a::DOUBLE[], b::DOUBLE[])",
    "vector_ip(a, b) AS -list_inner_product(a::DOUBLE[], b::DOUBLE[])",
    "vector_l1(a, b) AS CASE WHEN len(a) <> len(b) THEN error('different vector dimensions') ELSE "
    "list_sum(list_transform(list_zip(a::DOUBLE[], b::DOUBLE[]), lambda x: abs(x[1] - x[2]))) END",
    "bits_hamming(a, b) AS bit_count(xor(a::BIT, b::BIT))::DOUBLE",
    "bits_jaccard(a, b) AS CASE WHEN bit_count(a::BIT | b::BIT) = 0 THEN 1.0 "
    "ELSE 1 - bit_count(a::BIT & b::BIT)::DOUBLE / bit_count(a::BIT | b::BIT) END",
)

_ARITHMETIC: Final = (
    "pg_integer_quotient(a, b) AS CASE WHEN b = 0 THEN error('division by zero') ELSE a // b END",
    "pg_quotient(a, b) AS CASE WHEN b = 0 THEN error('division by zero') ELSE a / b END",
    "pg_remainder(a, b) AS CASE WHEN b = 0 THEN error('division by zero') ELSE a % b END",
    "pg_float_text(x) AS regexp_replace(x::VARCHAR, '\\.0$', '')",
)

_TEXT: Final = (
    "initcap(s) AS array_to_string(list_transform(regexp_extract_all(lower(s), '[a-z0-9]+|[^a-z0-9]+'), "
    "lambda w: upper(w[1]) || w[2:]), '')",
    "pg_substring(s, start) AS substring(s, greatest(start, 1)), "
    "(s, start, length) AS CASE WHEN length < 0 THEN error('negative substring length not allowed') "
    "ELSE substring(s, greatest(start, 1), greatest(least(start + length, 2147483647) - greatest(start, 1), 0)) END",
    "pg_json_type(j) AS CASE json_type(j) WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' "
    "WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' "
    "WHEN NULL THEN NULL ELSE 'number' END",
    "pg_element(a, i) AS CASE WHEN i > 0 THEN a[i] END",
    "pg_array_length(a) AS nullif(len(a), 0)",
    "json_has_key(j, k) AS CASE json_type(j) WHEN 'OBJECT' THEN list_contains(json_keys(j), k) "
    "WHEN 'ARRAY' THEN list_contains(json_transform(j, '[\"VARCHAR\"]'), k) "
    "WHEN 'VARCHAR' THEN j ->> '$' = k ELSE false END",
    "json_has_any(j, keys) AS len(list_filter(keys, lambda k: json_has_key(j, k))) > 0",
    "json_has_all(j, keys) AS len(list_filter(keys, lambda k: json_has_key(j, k))) = len(keys)",
)

MACROS: Final = (*_VECTOR, *_ARITHMETIC, *_TEXT)
"""In an order in which each one uses only those before it."""
