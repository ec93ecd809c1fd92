"""Rules for functions of PostgreSQL that DuckDB lacks, or has otherwise."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.bytes_and_times import (
    bytes_of_text,
    digest_by,
    sha256,
    text_of_bytes,
)
from nestvec.sql.relational.rewrites.calls.formats import format_value, read_date, read_timestamp
from nestvec.sql.relational.rewrites.calls.json_functions import (
    fields,
    inserted,
    keys,
    of_document,
    rows_of,
    value_texts,
    values,
)
from nestvec.sql.relational.rewrites.calls.json_paths import (
    match_path,
    path_exists,
    path_function,
    path_rows,
)
from nestvec.sql.relational.rewrites.calls.numbers import shown_places
from nestvec.sql.relational.rewrites.calls.regex import (
    all_matches,
    counted_matches,
    first_match,
    match_place,
    matched_text,
)
from nestvec.sql.relational.rewrites.calls.series import ordered_values, series_of_times
from nestvec.sql.relational.rewrites.calls.texts import (
    counted,
    filled,
    formatted,
    joined_items,
    normalized,
    quoted,
    quoted_or_null,
    split_texts,
    split_to_rows,
    subscripts,
)
from nestvec.sql.relational.rewrites.calls.times import (
    binned,
    finite,
    justified,
    made_interval,
    moved,
    overlapping,
    timestamp_in_zone,
)
from nestvec.sql.relational.rewrites.calls.type_names import type_name
from nestvec.sql.relational.rewrites.nodes import Rule, call

CALLS: Final[dict[str, Rule]] = {
    "TO_CHAR": format_value,
    "TO_DATE": read_date,
    "TO_TIMESTAMP": read_timestamp,
    "DATE_BIN": binned,
    "DATE_ADD": moved("pg_later_in_zone"),
    "DATE_SUBTRACT": moved("pg_earlier_in_zone"),
    "MAKE_TIMESTAMPTZ": timestamp_in_zone,
    "PG_TYPEOF": type_name,
    "STATEMENT_TIMESTAMP": lambda node: call("now"),
    "JSONB_ARRAY_ELEMENTS": rows_of("pg_json_items"),
    "JSONB_ARRAY_ELEMENTS_TEXT": rows_of("pg_json_item_texts"),
    "JSON_ARRAY_ELEMENTS": rows_of("pg_json_written_items"),
    "JSON_ARRAY_ELEMENTS_TEXT": rows_of("pg_json_written_item_texts"),
    **dict.fromkeys(("JSONB_EACH", "JSONB_EACH_TEXT", "JSONB_OBJECT_KEYS"), keys),
    **dict.fromkeys(("JSON_EACH", "JSON_EACH_TEXT", "JSON_OBJECT_KEYS"), keys),
    **dict.fromkeys(("JSONB_EACH_VALUES", "JSON_EACH_VALUES"), values),
    **dict.fromkeys(("JSONB_EACH_TEXTS", "JSON_EACH_TEXTS"), value_texts),
    "JSONB_FIELD_TEXTS": fields("pg_json_field_texts"),
    "JSONB_FIELD_DOCUMENTS": fields("pg_json_field_documents"),
    "JSONB_INSERT": inserted,
    "JSONB_STRIP_NULLS": of_document("pg_json_without_nulls"),
    "JSONB_PRETTY": of_document("pg_json_pretty"),
    "JSONB_PATH_QUERY": path_rows,
    "JSONB_PATH_QUERY_ARRAY": path_function("pg_json_path_array"),
    "JSONB_PATH_QUERY_FIRST": path_function("pg_json_path_query", first=True),
    "JSONB_PATH_EXISTS": path_function("pg_json_path_exists", first=True),
    "JSONB_PATH_MATCH": path_function("pg_json_path_match", first=True),
    "REGEXP_MATCH": first_match,
    "REGEXP_MATCHES": all_matches,
    "QUOTE_IDENT": lambda node: call("pg_quote_ident", node.expressions[0]),
    "QUOTE_LITERAL": quoted,
    "QUOTE_NULLABLE": quoted_or_null,
    "SHA224": digest_by("224"),
    "SHA384": digest_by("384"),
    "CONVERT_FROM": text_of_bytes,
    "CONVERT_TO": bytes_of_text,
    "ISFINITE": finite,
    "STRING_TO_TABLE": split_to_rows,
    "ARRAY_FILL": filled,
    "GENERATE_SUBSCRIPTS": subscripts,
    "NUM_NULLS": counted(nulls=True),
    "NUM_NONNULLS": counted(nulls=False),
    "SCALE": shown_places("pg_scale"),
    "MIN_SCALE": shown_places("pg_min_scale"),
}
"""By the names of functions that sqlglot does not know."""

NODE_CALLS: Final[dict[type[exp.Expr], Rule]] = {
    exp.SHA2Digest: sha256,
    exp.RegexpCount: counted_matches,
    exp.RegexpSubstr: matched_text,
    exp.RegexpInstr: match_place,
    exp.Normalize: normalized,
    exp.Distinct: ordered_values,
    **dict.fromkeys((exp.GenerateSeries, exp.ExplodingGenerateSeries), series_of_times),
    exp.ArrayToString: joined_items,
    exp.Format: formatted,
    exp.StringToArray: split_texts,
    exp.JustifyDays: justified("days"),
    exp.JustifyHours: justified("hours"),
    exp.JustifyInterval: justified("interval"),
    exp.MakeInterval: made_interval,
    exp.Overlaps: overlapping,
    exp.JSONBPathExists: path_exists,
    exp.MatchAgainst: match_path,
}
"""By sqlglot's nodes."""
