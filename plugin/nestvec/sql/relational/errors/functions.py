"""The functions that a statement may call, with how many arguments.

DuckDB has others, and functions of PostgreSQL's names with another meaning: what is not listed is refused.
Each of these gives what PostgreSQL gives.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.parse.dialect import Rerank, written_call
from nestvec.sql.parse.source import SourceText
from nestvec.sql.relational.errors.function_names import AGGREGATES, FUNCTIONS
from nestvec.sql.relational.results.hypothetical_sets import HYPOTHETICAL
from nestvec_schemas.errors import SqlUnknownName, nearest

_MATH: Final = """
abs/1 acos/1 acosh/1 asin/1 asinh/1 atan/1 atan2/2 atanh/1 cbrt/1 ceil/1 ceiling/1 cos/1 cosh/1 cot/1
degrees/1 div/2 exp/1 factorial/1 floor/1 gcd/2 lcm/2 ln/1 log/1,2 log10/1 min_scale/1 mod/2 pi/0 pow/2
power/2 radians/1 random/0 round/1,2 scale/1 sign/1 sin/1 sinh/1 sqrt/1 tan/1 tanh/1 to_hex/1
trim_scale/1 trunc/1,2 width_bucket/2,4
"""
_TEXT: Final = """
ascii/1 bit_length/1 btrim/1,2 char_length/1 character_length/1 chr/1 concat/* concat_ws/* convert_from/2
convert_to/2 decode/2 encode/2 format/* gen_random_uuid/0 initcap/1 left/2 length/1 lower/1 lpad/2,3
ltrim/1,2 md5/1 normalize/1,2
num_nonnulls/* num_nulls/* octet_length/1 overlay/1 pg_typeof/1 position/1 quote_ident/1 quote_literal/1
quote_nullable/1 regexp_count/2,3,4
regexp_like/2,3 regexp_match/2,3 regexp_matches/2,3 regexp_replace/3,4 regexp_split_to_array/2
regexp_instr/2,3,4,5,6,7 regexp_split_to_table/2 regexp_substr/2,3,4,5,6
repeat/2 replace/3 reverse/1 right/2 rpad/2,3 rtrim/1,2 sha224/1 sha256/1 sha384/1 sha512/1
split_part/3 starts_with/2 string_to_array/2,3 string_to_table/2,3 strpos/2 substr/2,3 substring/1,2,3
to_char/2 to_date/2 to_timestamp/1,2 translate/3 trim/1,2 upper/1
"""
_TIMES: Final = """
age/1,2 clock_timestamp/0 date/1 date_add/2,3 date_bin/3 date_part/2 date_subtract/2,3 date_trunc/2,3
extract/1 isfinite/1 justify_days/1 justify_hours/1 justify_interval/1 make_date/3
make_interval/0,1,2,3,4,5,6,7 make_time/3 make_timestamp/6 make_timestamptz/6,7 now/0 statement_timestamp/0
timeofday/0 timezone/2 transaction_timestamp/0
"""
_ARRAYS: Final = """
array_append/2 array_cat/2 array_dims/1 array_fill/2 array_length/2 array_lower/2 array_ndims/1
array_position/2 array_positions/2 array_prepend/2 array_remove/2 array_replace/3 array_to_string/2,3
array_upper/2 cardinality/1 generate_series/2,3 generate_subscripts/2,3 trim_array/2 unnest/1
"""
_JSON: Final = """
array_to_json/1 json_agg/1 json_array_elements/1 json_array_elements_text/1 json_array_length/1
json_build_array/* json_build_object/* json_each/1 json_each_text/1 json_extract_path/*
json_extract_path_text/* json_object_agg/2 json_object_keys/1 json_to_record/1 json_to_recordset/1
json_typeof/1 jsonb_agg/1
jsonb_array_elements/1 jsonb_array_elements_text/1 jsonb_array_length/1 jsonb_build_array/*
jsonb_build_object/* jsonb_each/1 jsonb_each_text/1 jsonb_extract_path/* jsonb_extract_path_text/*
jsonb_insert/3,4 jsonb_object_agg/2 jsonb_object_keys/1
jsonb_path_exists/2,3,4 jsonb_path_match/2,3,4
jsonb_path_query/2,3,4 jsonb_path_query_array/2,3,4 jsonb_path_query_first/2,3,4
jsonb_pretty/1 jsonb_set/3,4 jsonb_strip_nulls/1 jsonb_to_record/1 jsonb_to_recordset/1 jsonb_typeof/1
row_to_json/1 to_json/1 to_jsonb/1
"""
_AGGREGATES: Final = """
any_value/1 array_agg/1 avg/1 bit_and/1 bit_or/1 bit_xor/1 bool_and/1 bool_or/1 corr/2 count/1 covar_pop/2
covar_samp/2 cume_dist/0 dense_rank/0 every/1 first_value/1 grouping/* lag/1,2,3 last_value/1 lead/1,2,3
max/1 min/1 mode/0 nth_value/2 ntile/1 percent_rank/0 percentile_cont/1 percentile_disc/1 rank/0
regr_avgx/2 regr_avgy/2 regr_count/2 regr_intercept/2 regr_r2/2 regr_slope/2 regr_sxx/2 regr_sxy/2
regr_syy/2 row_number/0 stddev/1 stddev_pop/1 stddev_samp/1 string_agg/2 sum/1 var_pop/1 var_samp/1
variance/1
"""
_VECTORS: Final = """
binary_quantize/1 bm25/* cosine_distance/2 embed/* hamming_distance/2 highlight/* inner_product/2
jaccard_distance/2 l1_distance/2 l2_distance/2 l2_norm/1 l2_normalize/1 rerank_score/* rrf/* subvector/3
vector_dims/1 vector_norm/1 weighted/*
"""
_SYNTAX: Final = """
all/* any/* array/* cast/* coalesce/* cube/* exists/* greatest/* grouping_sets/* least/* nullif/2 rollup/*
row/* sets/* some/* values/*
"""
_FILES: Final = "parquet_scan/* read_csv/* read_csv_auto/* read_json/* read_json_auto/* read_parquet/*"


def _counts(listed: str) -> dict[str, frozenset[int] | None]:
    entries = (entry.partition("/") for entry in listed.split())
    return {
        name: None if counts == "*" else frozenset(map(int, counts.split(","))) for name, _, counts in entries
    }


_COMPUTED: Final = _counts(
    _MATH + _TEXT + _TIMES + _ARRAYS + _JSON + _AGGREGATES + _VECTORS + _SYNTAX + _FILES
)
"""The numbers of arguments that each function takes; None for any."""

_OTHERS: Final = """
acosd array_sample array_shuffle asind atan2d atand bit_count convert
cosd cotd current_database current_schema current_setting
erf erfc get_bit get_byte json_object json_populate_record
json_populate_recordset json_strip_nulls jsonb_object
jsonb_populate_record jsonb_populate_recordset jsonb_set_lax
json_agg_strict jsonb_agg_strict jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_array_tz
jsonb_path_query_first_tz jsonb_path_query_tz
parse_ident pg_client_encoding pg_sleep
random_normal
set_bit set_byte setseed sind tand to_ascii to_number
txid_current unistr version xmlagg
json_arrayagg json_objectagg json_array currval lastval nextval setval point box circle line lseg path polygon
xmlconcat xmlelement xmlforest xmlparse xpath money
"""
_RANGES: Final = "int4range int8range numrange daterange tsrange tstzrange range_agg range_merge"
_SEARCH: Final = """
phraseto_tsquery plainto_tsquery setweight to_tsquery to_tsvector ts_headline ts_rank ts_rank_cd
websearch_to_tsquery
"""
_LOCKS: Final = """
pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_xact_lock pg_advisory_xact_lock_shared
pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock
"""
_OF_POSTGRESQL: Final = frozenset((_OTHERS + _SEARCH + _RANGES + _LOCKS).split())
"""Others that PostgreSQL documents: an error says that they are missing, not that they do not exist."""

_INSTEAD: Final = {
    **dict.fromkeys(_LOCKS.split(), "Milvus has no locks: an UPDATE checks that its rows have not changed."),
    **dict.fromkeys(
        ("json_populate_record", "jsonb_populate_record"),
        "Name the columns: FROM jsonb_to_record(meta) AS x(year INT, lang TEXT).",
    ),
    **dict.fromkeys(
        ("json_populate_recordset", "jsonb_populate_recordset"),
        "Name the columns: FROM jsonb_to_recordset(meta) AS x(year INT, lang TEXT).",
    ),
    **dict.fromkeys(
        ("json_arrayagg", "json_array"), "Write json_agg(x ORDER BY y), or json_build_array(x, y)."
    ),
    **dict.fromkeys(
        ("json_objectagg", "json_object"),
        "Write json_object_agg(key, value), or json_build_object('key', value).",
    ),
    **dict.fromkeys(
        ("currval", "lastval", "nextval", "setval"),
        "Milvus generates the keys of a BIGSERIAL: INSERT … RETURNING id gives them.",
    ),
    "to_number": "Write replace(text, ',', '')::numeric.",
    "json_strip_nulls": "Write jsonb_strip_nulls(x::jsonb).",
    "jsonb_set_lax": "Write jsonb_set(), or #- to delete a key.",
    "unistr": "Write U&'…', or chr(…).",
    **dict.fromkeys(_RANGES.split(), "There are no range types: keep both bounds, low <= x AND x < high."),
    **dict.fromkeys(
        _SEARCH.split(),
        "Create the column with BM25: WHERE body @@ 'words', ORDER BY body <@> 'words' LIMIT 10.",
    ),
}
"""What to write in place of some of them."""

_SESSION: Final[dict[type[exp.Expr], str]] = {
    exp.CurrentUser: "current_user",
    exp.SessionUser: "session_user",
    exp.CurrentSchema: "current_schema",
    exp.CurrentCatalog: "current_catalog",
}
_COMPARISONS: Final = (exp.Predicate, exp.Tuple, exp.Paren, exp.Not, exp.In, exp.NullSafeEQ, exp.NullSafeNEQ)
"""What may have ROW(…) as an operand."""
_OF_WINDOWS: Final = """
cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
"""
_WINDOWS: Final = (exp.Window, exp.IgnoreNulls, exp.RespectNulls, exp.Filter, exp.WithinGroup)
_CLOCKS: Final = (exp.CurrentTimestamp, exp.CurrentTime, exp.Localtime, exp.Localtimestamp)


def computed_functions() -> list[str]:
    """The names of the functions that a statement may call, sorted."""
    return sorted(set(_COMPUTED) - set(_counts(_SYNTAX)))


def check_functions(source: SourceText, tree: exp.Expr) -> None:
    """Raise SqlUnknownName for a call of no function, SqlNotSupported for one that is not computed."""
    for node in tree.walk(prune=lambda node: isinstance(node, Rerank)):
        call = written_call(node)
        if call is not None:
            _check_call(source, node, *call)
        elif type(node) in _SESSION:
            raise source.not_supported(_SESSION[type(node)], node, "It is answered by nestvec pg.")
        elif isinstance(node, _CLOCKS) and node.this is not None:
            raise source.not_supported("a clock with fewer digits", node, "Write now()::timestamptz(0).")
        elif isinstance(node, exp.Array) and any(isinstance(item, exp.Array) for item in node.expressions):
            raise source.not_supported("an array of arrays", node, "Use arrays of one dimension.")
        elif isinstance(node, exp.Array) and not node.expressions and not isinstance(node.parent, exp.Cast):
            raise source.syntax_error(
                "cannot determine type of empty array", node, "Cast it: ARRAY[]::integer[]."
            )
        elif isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            _check_row(source, node)


def _check_row(source: SourceText, star: exp.Column) -> None:
    """``t.*`` is a row as one value, unless it is in a list of columns, or is counted or ordered by."""
    node: exp.Expr = star
    while isinstance(node.parent, exp.Paren):
        node = node.parent
    columns = (exp.Select, exp.Alias, exp.Returning, exp.Count, exp.Ordered)
    if not isinstance(node.parent, columns):
        raise source.not_supported("a row as one value", star, "Name the columns, or write to_jsonb(t).")


def _check_call(source: SourceText, node: exp.Expr, name: str, count: int) -> None:
    if name in _OF_WINDOWS.split() and not isinstance(node.parent, _WINDOWS):
        cause = f"the window function {name} requires an OVER clause"
        raise source.syntax_error(cause, node, "Write OVER ().")
    if name not in _COMPUTED:
        if name in _OF_POSTGRESQL:
            raise source.not_supported(
                f"the function {name}()",
                node,
                _INSTEAD.get(name, "The manual lists the functions that are computed."),
            )
        raise SqlUnknownName(
            f"the function {name[:60]}() does not exist",
            next_step="Use a function of PostgreSQL or pgvector." + nearest(name, (*FUNCTIONS, *AGGREGATES)),
            statement=source.text,
            position=source.position(node),
        )
    if name == "regexp_replace" and count in (5, 6):
        raise source.not_supported(
            "regexp_replace() with a start and a number",
            node,
            "Write regexp_replace(text, pattern, new, 'g').",
        )
    is_place = isinstance(node, HYPOTHETICAL) and isinstance(node.parent, exp.WithinGroup)
    counts = None if is_place else _COMPUTED[name]
    if counts is not None and count not in counts:
        allowed = " or ".join(map(str, sorted(counts)))
        raise source.type_mismatch(
            f"{name}() does not take these arguments", f"{count} arguments", node, f"It takes {allowed} here."
        )
    if name in ("json_build_object", "jsonb_build_object") and count % 2:
        raise source.data_error(
            "argument list must have even number of elements", count, node, "Write a value for each key."
        )
    if name == "row" and not isinstance(node.parent, _COMPARISONS):
        raise source.not_supported("a row as a value", node, "Write jsonb_build_object(…), or its columns.")
