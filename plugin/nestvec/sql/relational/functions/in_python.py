"""Functions of PostgreSQL that are computed in Python, as DuckDB registers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nestvec.sql.relational.documents.containment import json_equal_form
from nestvec.sql.relational.documents.order import distinct_documents
from nestvec.sql.relational.documents.records import json_field_documents, json_field_texts
from nestvec.sql.relational.documents.shapes import (
    json_insert,
    json_items,
    json_pair_keys,
    json_pair_values,
    json_pretty,
    json_without_nulls,
)
from nestvec.sql.relational.documents.validity import is_json
from nestvec.sql.relational.documents.written_pairs import (
    json_written_items,
    json_written_keys,
    json_written_part,
    json_written_values,
)
from nestvec.sql.relational.formats.numbers import format_number
from nestvec.sql.relational.formats.read_times import read_day, read_moment
from nestvec.sql.relational.formats.time_texts import format_interval, format_moment
from nestvec.sql.relational.functions.byte_texts import decode_text, digest, encode_bytes
from nestvec.sql.relational.functions.intervals import justify
from nestvec.sql.relational.functions.numerics import (
    distinct_numerics,
    extreme_numeric,
    numeric_key,
    numeric_of_key,
    numeric_series,
    numeric_sum,
    numeric_text,
)
from nestvec.sql.relational.functions.quoting import normalize_text, quote_ident, read_bytea
from nestvec.sql.relational.json_path.functions import (
    json_path_array,
    json_path_exists,
    json_path_match,
    json_path_query,
)

Function = tuple[str, Callable[..., Any], list[Any], str]
"""The name, the function, the types of its parameters, and that of its result. NULL gives NULL."""

_TIMES: Final[tuple[Function, ...]] = (
    ("pg_format_moment", format_moment, ["BIGINT", "VARCHAR", "BOOLEAN"], "VARCHAR"),
    ("pg_format_interval", format_interval, ["BIGINT", "BIGINT", "BIGINT", "VARCHAR"], "VARCHAR"),
    ("pg_format_number", format_number, ["VARCHAR", "VARCHAR", "INTEGER"], "VARCHAR"),
    ("pg_read_day", read_day, ["VARCHAR", "VARCHAR"], "INTEGER"),
    ("pg_read_moment", read_moment, ["VARCHAR", "VARCHAR"], "BIGINT"),
    ("pg_justify", justify, ["BIGINT", "BIGINT", "BIGINT", "VARCHAR"], "BIGINT[]"),
)
_TEXTS: Final[tuple[Function, ...]] = (
    ("pg_quote_ident", quote_ident, ["VARCHAR"], "VARCHAR"),
    ("pg_normalized", normalize_text, ["VARCHAR", "VARCHAR"], "VARCHAR"),
    ("pg_bytea", read_bytea, ["VARCHAR"], "BLOB"),
    ("pg_numeric", numeric_text, ["VARCHAR", "VARCHAR", "VARCHAR"], "VARCHAR"),
    ("pg_numeric_key", numeric_key, ["VARCHAR"], "VARCHAR"),
    ("pg_numeric_of_key", numeric_of_key, ["VARCHAR"], "VARCHAR"),
    ("pg_distinct_numerics", distinct_numerics, ["VARCHAR[]", "BOOLEAN", "BOOLEAN"], "VARCHAR[]"),
    ("pg_numeric_series", numeric_series, ["VARCHAR", "VARCHAR", "VARCHAR"], "VARCHAR[]"),
    ("pg_numeric_sum", numeric_sum, ["VARCHAR[]"], "VARCHAR"),
    ("pg_extreme_numeric", extreme_numeric, ["VARCHAR", "VARCHAR[]"], "VARCHAR"),
)
_BYTES: Final[tuple[Function, ...]] = (
    ("pg_encode", encode_bytes, ["BLOB", "VARCHAR"], "VARCHAR"),
    ("pg_decode", decode_text, ["VARCHAR", "VARCHAR"], "BLOB"),
    ("pg_digest", digest, ["BLOB", "VARCHAR"], "BLOB"),
)
_PATH: Final = ["JSON", "VARCHAR", "JSON", "BOOLEAN"]
_JSON: Final[tuple[Function, ...]] = (
    ("pg_json_items", json_items, ["JSON"], "JSON[]"),
    ("pg_json_pair_keys", json_pair_keys, ["JSON", "VARCHAR"], "VARCHAR[]"),
    ("pg_json_pair_values", json_pair_values, ["JSON"], "JSON[]"),
    ("pg_json_written_keys", json_written_keys, ["JSON", "VARCHAR"], "VARCHAR[]"),
    ("pg_json_written_values", json_written_values, ["JSON"], "JSON[]"),
    ("pg_json_written_items", json_written_items, ["JSON"], "JSON[]"),
    ("pg_json_written_part", json_written_part, ["JSON", "VARCHAR", "VARCHAR"], "VARCHAR"),
    ("pg_json_without_nulls", json_without_nulls, ["JSON"], "JSON"),
    ("pg_json_insert", json_insert, ["JSON", "VARCHAR[]", "JSON", "BOOLEAN"], "JSON"),
    ("pg_json_equal_form", json_equal_form, ["JSON"], "VARCHAR"),
    ("pg_distinct_documents", distinct_documents, ["JSON[]", "BOOLEAN", "BOOLEAN"], "JSON[]"),
    ("pg_json_pretty", json_pretty, ["JSON"], "VARCHAR"),
    ("pg_json_field_texts", json_field_texts, ["JSON", "VARCHAR", "VARCHAR"], "VARCHAR[]"),
    ("pg_json_field_documents", json_field_documents, ["JSON", "VARCHAR", "VARCHAR"], "JSON[]"),
    ("pg_is_json", is_json, ["VARCHAR", "VARCHAR", "BOOLEAN"], "BOOLEAN"),
    ("pg_json_path_query", json_path_query, _PATH, "JSON[]"),
    ("pg_json_path_array", json_path_array, _PATH, "JSON"),
    ("pg_json_path_exists", json_path_exists, _PATH, "BOOLEAN[]"),
    ("pg_json_path_match", json_path_match, _PATH, "BOOLEAN[]"),
)

PYTHON_FUNCTIONS: Final = (*_TIMES, *_TEXTS, *_BYTES, *_JSON)
