"""Where DuckDB's meaning differs from PostgreSQL's: rules that rewrite nodes of a typed tree."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.rewrites.aggregates import regression, rewrite_sum, within_group
from nestvec.sql.relational.rewrites.arithmetic import (
    arithmetic,
    div_quotient,
    quotient,
    remainder,
    rewrite_exp,
    rewrite_power,
    rewrite_round,
    shifted,
)
from nestvec.sql.relational.rewrites.arrays import (
    array_contains,
    array_length,
    array_size,
    bracket,
    cardinality,
    contained,
    overlaps,
    removed,
    without_queries,
)
from nestvec.sql.relational.rewrites.bytes_and_times import bytes_length, decoded, encoded, octets
from nestvec.sql.relational.rewrites.calls import CALLS, NODE_CALLS
from nestvec.sql.relational.rewrites.calls.json_values import (
    array_of_group,
    array_of_values,
    document_of_value,
    object_of_group,
    object_of_values,
    row_object,
)
from nestvec.sql.relational.rewrites.casts import rewrite_cast, type_items
from nestvec.sql.relational.rewrites.comparisons import (
    between,
    compare,
    is_boolean,
    is_distinct,
    membership,
    ordered_documents,
    real_choice,
)
from nestvec.sql.relational.rewrites.functions import (
    bit_length,
    bits,
    overlay,
    repeat,
    to_hex,
    trim,
    width_bucket,
)
from nestvec.sql.relational.rewrites.integer_results import as_integer, is_integer_result
from nestvec.sql.relational.rewrites.json_operators import (
    json_extract_path,
    json_item,
    json_joined,
    json_key,
    json_keys,
    json_path,
    json_text,
    json_with,
    json_without,
    json_without_path,
)
from nestvec.sql.relational.rewrites.nesting import compute_once
from nestvec.sql.relational.rewrites.nodes import (
    JSON_TYPES,
    Rule,
    anonymous_name,
    call,
    kind,
)
from nestvec.sql.relational.rewrites.numbers.constants import check_digits, negative, plain_number
from nestvec.sql.relational.rewrites.numbers.null_operands import fold_nulls
from nestvec.sql.relational.rewrites.numbers.numerics import write_exactly
from nestvec.sql.relational.rewrites.patterns import matches, replaced, rewrite_like, similar_to, split_by
from nestvec.sql.relational.rewrites.set_operations import type_constants
from nestvec.sql.relational.rewrites.texts import (
    array_joined,
    joined,
    pad,
    renamed,
    rewrite_concat,
    split_part,
    substring,
)
from nestvec.sql.relational.rewrites.times import current_time, cut_time, interval_constant, time_part


def rewrite_for_duckdb(tree: exp.Expr) -> exp.Expr:
    """Apply the rules, innermost nodes first. The tree is changed, and returned."""
    nodes = list(tree.walk())
    if fold_nulls(nodes):
        nodes = list(tree.walk())
    tree, has_numerics = write_exactly(tree, nodes)
    if has_numerics:
        nodes = list(tree.walk())
    check_digits(nodes)
    for node in reversed(nodes):
        name = anonymous_name(node)
        rule = RULES.get(type(node)) or NODE_CALLS.get(type(node)) or _BY_NAME.get(name) or CALLS.get(name)
        counts = is_integer_result(node)
        rewritten = node if rule is None else rule(node)
        if counts and not isinstance(rewritten, exp.Null):
            rewritten = as_integer(rewritten)
        if rewritten is node:
            continue
        for part in (rewritten, without_parens(rewritten)):
            if not part.type:
                part.type = node.type
        if node is tree:
            tree = rewritten
        node.replace(rewritten)
    return compute_once(tree)


RULES: Final[dict[type[exp.Expr], Rule]] = {
    exp.Div: quotient,
    exp.Mod: remainder,
    **dict.fromkeys((exp.Add, exp.Mul), arithmetic),
    exp.Sub: lambda node: json_without(node) if kind(node) in JSON_TYPES else arithmetic(node),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), is_distinct),
    exp.Is: is_boolean,
    **dict.fromkeys((exp.Hex, exp.LowerHex), to_hex),
    exp.WidthBucket: width_bucket,
    exp.Overlay: overlay,
    exp.Trim: trim,
    exp.BitLength: bit_length,
    exp.BitString: bits,
    exp.Repeat: repeat,
    exp.Degrees: lambda node: call("pg_degrees", node.this),
    exp.Radians: lambda node: call("pg_radians", node.this),
    exp.Acosh: lambda node: call("pg_acosh", node.this),
    exp.Chr: lambda node: call("pg_chr", *node.expressions),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), compare),
    exp.In: membership,
    exp.Ordered: ordered_documents,
    exp.Extract: time_part,
    **dict.fromkeys(
        (exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp),
        current_time,
    ),
    exp.TimestampTrunc: cut_time,
    exp.Encode: encoded,
    exp.Length: bytes_length,
    exp.Decode: decoded,
    **dict.fromkeys((exp.Union, exp.Intersect, exp.Except), type_constants),
    exp.IntDiv: div_quotient,
    **dict.fromkeys((exp.BitwiseLeftShift, exp.BitwiseRightShift), shifted),
    exp.Pow: rewrite_power,
    exp.Exp: rewrite_exp,
    exp.Literal: plain_number,
    exp.Neg: negative,
    exp.Upper: lambda node: call("pg_upper", exp.cast(node.this.copy(), "text")),
    exp.Initcap: lambda node: call("pg_initcap", node.this),
    exp.Concat: rewrite_concat,
    exp.DPipe: lambda node: json_joined(node) if kind(node) == exp.DType.JSONB else joined(node),
    exp.ArrayConcat: array_joined,
    exp.JSONBDeleteAtPath: json_without_path,
    exp.ConcatWs: rewrite_concat,
    exp.SplitPart: split_part,
    exp.JSONExtractScalar: json_text,
    exp.JSONExtract: json_item,
    exp.Round: rewrite_round,
    exp.Sum: rewrite_sum,
    exp.WithinGroup: within_group,
    **dict.fromkeys((exp.Corr, exp.RegrSlope, exp.RegrIntercept, exp.RegrR2), regression),
    exp.Like: rewrite_like,
    exp.ILike: rewrite_like,
    exp.SimilarTo: similar_to,
    **dict.fromkeys((exp.RegexpLike, exp.RegexpILike), matches),
    exp.RegexpReplace: replaced,
    exp.Between: between,
    exp.ArraySize: array_size,
    exp.Bracket: bracket,
    exp.ArrayContainsAll: array_contains,
    exp.ArrayContainedBy: contained,
    exp.ArrayOverlaps: overlaps,
    exp.ArrayRemove: removed,
    exp.JSONArrayAgg: array_of_group(as_jsonb=False),
    **dict.fromkeys((exp.JSONObjectAgg, exp.JSONBObjectAgg), object_of_group),
    exp.JSONBContainsTopKey: json_key,
    exp.JSONBContainsAnyTopKeys: json_keys(any_of=True),
    exp.JSONBContainsAllTopKeys: json_keys(any_of=False),
    exp.JSONBExtract: json_path,
    exp.JSONBExtractScalar: json_path,
    exp.Cast: rewrite_cast,
    exp.Interval: interval_constant,
    **dict.fromkeys((exp.Array, exp.Coalesce, exp.Greatest, exp.Least), type_items),
    **dict.fromkeys((exp.Case, exp.Nullif), lambda node: real_choice(type_items(node))),
    exp.Substring: substring,
    exp.Pad: pad,
}


_BY_NAME: Final[dict[str, Rule]] = {
    "ARRAY_LENGTH": array_length,
    "CARDINALITY": cardinality,
    "OCTET_LENGTH": octets,
    "EVERY": renamed("bool_and"),
    "MAKE_DATE": renamed("pg_make_date"),
    "ARRAY_POSITIONS": without_queries("array_positions"),
    "ARRAY_REPLACE": without_queries("array_replace"),
    "JSONB_SET": json_with,
    "JSONB_BUILD_OBJECT": object_of_values(as_jsonb=True, colon=":", comma=","),
    "JSON_BUILD_OBJECT": object_of_values(as_jsonb=False),
    "JSON_ROW_OBJECT": row_object,
    "JSONB_BUILD_ARRAY": array_of_values(as_jsonb=True),
    "JSON_BUILD_ARRAY": array_of_values(as_jsonb=False),
    "JSONB_AGG": array_of_group(as_jsonb=True),
    "JSON_ARRAY_LENGTH": renamed("json_array_size"),
    "JSONB_ARRAY_LENGTH": renamed("json_array_size"),
    "REGEXP_SPLIT_TO_ARRAY": split_by("regexp_split_to_array"),
    "REGEXP_SPLIT_TO_TABLE": split_by("regexp_split_to_table"),
    **dict.fromkeys(("JSONB_EXTRACT_PATH", "JSON_EXTRACT_PATH"), json_extract_path(as_text=False)),
    **dict.fromkeys(("JSONB_EXTRACT_PATH_TEXT", "JSON_EXTRACT_PATH_TEXT"), json_extract_path(as_text=True)),
    "JSONB_TYPEOF": lambda node: call("pg_json_type", *node.expressions),
    "JSON_TYPEOF": lambda node: call("pg_json_type", *node.expressions),
    "TO_JSONB": document_of_value(as_jsonb=True),
    "TO_JSON": document_of_value(as_jsonb=False),
}
"""Rules for functions that sqlglot does not know."""
