"""The types of PostgreSQL's functions and operators, where sqlglot has none or another's."""

from __future__ import annotations

from typing import Any, Final

from sqlglot import exp

_MOMENTS: Final = (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ, exp.DType.TIMESTAMPTZ)
_DAYS_AND_MOMENTS: Final = (exp.DType.DATE, *_MOMENTS)
_BYTES: Final = (exp.DType.BINARY, exp.DType.VARBINARY)
_JSON: Final = (exp.DType.JSON, exp.DType.JSONB)
_TEXTS: Final = exp.DataType.build("array<text>")
_POSITIONS: Final = exp.DataType.build("array<int>")

_BY_NAME: Final[dict[str, exp.DType | exp.DataType]] = {
    **dict.fromkeys(
        (
            "JSONB_SET", "TO_JSONB", "JSONB_AGG", "JSONB_BUILD_OBJECT", "JSONB_BUILD_ARRAY",
            "JSONB_EXTRACT_PATH",
        ),
        exp.DType.JSONB,
    ),
    **dict.fromkeys(
        (
            "TO_JSON", "JSON_BUILD_OBJECT", "JSON_ROW_OBJECT", "JSON_BUILD_ARRAY", "JSON_EXTRACT_PATH",
            "JSON_ARRAY_ELEMENTS",
        ),
        exp.DType.JSON,
    ),
    **dict.fromkeys(
        (
            "OCTET_LENGTH", "CARDINALITY", "ARRAY_UPPER", "ARRAY_LOWER", "JSONB_ARRAY_LENGTH",
            "JSON_ARRAY_LENGTH",
        ),
        exp.DType.INT,
    ),
    **dict.fromkeys(
        (
            "QUOTE_LITERAL", "TO_CHAR", "JSONB_TYPEOF", "JSON_TYPEOF", "JSONB_EXTRACT_PATH_TEXT",
            "JSON_EXTRACT_PATH_TEXT",
        ),
        exp.DType.VARCHAR,
    ),
    **dict.fromkeys(("JSONB_INSERT", "JSONB_STRIP_NULLS"), exp.DType.JSONB),
    **dict.fromkeys(
        (
            "JSONB_PRETTY", "QUOTE_IDENT", "QUOTE_NULLABLE", "JSONB_OBJECT_KEYS", "STRING_TO_TABLE",
            "ARRAY_DIMS", "JSONB_ARRAY_ELEMENTS_TEXT", "JSON_ARRAY_ELEMENTS_TEXT", "JSONB_EACH",
            "JSONB_EACH_TEXT", "JSONB_EACH_TEXTS", "JSON_OBJECT_KEYS", "JSON_EACH", "JSON_EACH_TEXT",
            "JSON_EACH_TEXTS", "REGEXP_SPLIT_TO_TABLE",
        ),
        exp.DType.VARCHAR,
    ),
    **dict.fromkeys(
        ("NUM_NULLS", "NUM_NONNULLS", "GENERATE_SUBSCRIPTS", "ARRAY_NDIMS", "SCALE", "MIN_SCALE"),
        exp.DType.INT,
    ),
    "TRIM_SCALE": exp.DType.DECIMAL,
    **dict.fromkeys(
        (
            "JSONB_ARRAY_ELEMENTS", "JSONB_EACH_VALUES", "JSONB_PATH_QUERY",
            "JSONB_PATH_QUERY_ARRAY", "JSONB_PATH_QUERY_FIRST",
        ),
        exp.DType.JSONB,
    ),
    **dict.fromkeys(
        (
            "VECTOR_COSINE", "VECTOR_L2", "VECTOR_IP", "VECTOR_L1", "BITS_HAMMING", "BITS_JACCARD", "L2_NORM",
            "VECTOR_NORM",
        ),
        exp.DType.DOUBLE,
    ),
    **dict.fromkeys(("SUBVECTOR", "L2_NORMALIZE"), exp.DType.VECTOR),
    "JSON_EACH_VALUES": exp.DType.JSON,
    "JSONB_FIELD_TEXTS": exp.DType.VARCHAR,
    "JSONB_FIELD_DOCUMENTS": exp.DType.JSONB,
    **dict.fromkeys(("SHA224", "SHA384", "CONVERT_TO"), exp.DType.VARBINARY),
    "CONVERT_FROM": exp.DType.VARCHAR,
    **dict.fromkeys(("JSONB_PATH_EXISTS", "JSONB_PATH_MATCH"), exp.DType.BOOLEAN),
    "MAKE_TIMESTAMPTZ": exp.DType.TIMESTAMPTZ,
    "STATEMENT_TIMESTAMP": exp.DType.TIMESTAMPTZ,
    "AGE": exp.DType.INTERVAL,
    "ISFINITE": exp.DType.BOOLEAN,
    **dict.fromkeys(("MAKE_DATE", "TO_DATE"), exp.DType.DATE),
    "TO_TIMESTAMP": exp.DType.TIMESTAMPTZ,
    "ARRAY_POSITIONS": _POSITIONS,
    **dict.fromkeys(("REGEXP_SPLIT_TO_ARRAY", "REGEXP_MATCH", "REGEXP_MATCHES"), _TEXTS),
}  # fmt: skip
_OF_FIRST: Final = ("ARRAY_REPLACE", "TRIM_ARRAY")
"""Functions that give what their first argument is."""


_OF_WIDEST: Final = ("GCD", "LCM")
"""Functions of the widest number among their arguments."""


def _kind(node: exp.Expr | None) -> exp.DType | None:
    type_ = node.type if node is not None else None
    # sqlglot has names in place of some types, such as regclass.
    return type_.this if type_ is not None and isinstance(type_.this, exp.DType) else None


def _annotate_unknown(annotator: Any, node: exp.Anonymous) -> exp.Anonymous:
    name = node.name.upper()
    type_: Any = _BY_NAME.get(name, exp.DType.UNKNOWN)
    if name in _OF_FIRST and node.expressions:
        type_ = node.expressions[0].type or exp.DType.UNKNOWN
    if name in _OF_WIDEST:
        type_ = _widest(node.expressions)
    if name == "TIMEZONE" and len(node.expressions) > 1:
        type_ = _in_zone(node.expressions[1])
    if name == "DATE_BIN" and len(node.expressions) > 1:
        type_ = node.expressions[1].type or exp.DType.UNKNOWN
    if isinstance(node.parent, (exp.Unnest, exp.Explode)) and isinstance(type_, exp.DType):
        # A function that returns rows is an array there.
        type_ = exp.DataType(this=exp.DType.ARRAY, expressions=[exp.DataType(this=type_)], nested=True)
    annotator._set_type(node, type_)
    return node


def _widest(numbers: list[exp.Expr]) -> exp.DType:
    kinds = set(map(_kind, numbers))
    if not kinds <= {*exp.DataType.INTEGER_TYPES, exp.DType.DECIMAL}:
        return exp.DType.UNKNOWN
    return next((each for each in (exp.DType.DECIMAL, exp.DType.BIGINT) if each in kinds), exp.DType.INT)


def _annotate_series(annotator: Any, node: exp.Expr) -> exp.Expr:
    """A value of generate_series(): of days they are moments in the session's zone."""
    bounds = [node.args["start"], node.args["end"]]
    kinds = set(map(_kind, bounds))
    type_ = _widest(bounds)
    if kinds & {exp.DType.DATE, exp.DType.TIMESTAMPTZ}:
        type_ = exp.DType.TIMESTAMPTZ
    elif kinds & set(_MOMENTS):
        type_ = exp.DType.TIMESTAMP
    elif kinds & exp.DataType.INTEGER_TYPES and kinds & {None, exp.DType.UNKNOWN}:
        # The other bound is a column of a table before it.
        type_ = exp.DType.BIGINT
    annotator._set_type(node, type_)
    return node


def _annotate_as_first(annotator: Any, node: exp.Expr) -> exp.Expr:
    annotator._set_type(node, node.this.type or exp.DType.UNKNOWN)
    return node


def _annotate_joined(annotator: Any, node: exp.DPipe) -> exp.DPipe:
    """An array beside another or an element, two documents or two strings of bytes; else a text."""
    sides = (node.this, node.expression)
    array = next((side.type for side in sides if _kind(side) == exp.DType.ARRAY), None)
    of_json, of_bytes = (
        any(_kind(side) in kinds for side in sides)
        and all(_kind(side) in kinds or isinstance(side, exp.Literal) for side in sides)
        for kinds in ((exp.DType.JSONB,), _BYTES)
    )
    other = exp.DType.JSONB if of_json else exp.DType.VARBINARY if of_bytes else exp.DType.VARCHAR
    annotator._set_type(node, array or other)
    return node


def _annotate_plus(annotator: Any, node: exp.Add) -> exp.Add:
    kinds = {_kind(node.this), _kind(node.expression)}
    if exp.DType.DATE in kinds and kinds & {exp.DType.TIME, exp.DType.INTERVAL}:
        annotator._set_type(node, exp.DType.TIMESTAMP)
    elif exp.DType.TIME in kinds and (moments := kinds & {*_MOMENTS}):
        annotator._set_type(node, moments.pop())
    elif exp.DType.DATE in kinds and kinds & exp.DataType.INTEGER_TYPES:
        annotator._set_type(node, exp.DType.DATE)
    elif exp.DType.INTERVAL in kinds and (others := kinds & {exp.DType.TIME, *_MOMENTS}):
        annotator._set_type(node, others.pop())
    else:
        _annotate_numbers(annotator, node)
    return node


def _annotate_numbers(annotator: Any, node: exp.Binary) -> None:
    """A REAL beside a whole number or a NUMERIC is computed in doubles, as a double beside a NUMERIC is."""
    annotator._annotate_binary(node)
    kinds = {_kind(node.this), _kind(node.expression)}
    is_real = exp.DType.FLOAT in kinds and kinds & {*exp.DataType.INTEGER_TYPES, exp.DType.DECIMAL}
    if is_real or kinds == {exp.DType.DOUBLE, exp.DType.DECIMAL}:
        annotator._set_type(node, exp.DType.DOUBLE)


def _annotate_choice(annotator: Any, node: exp.Expr) -> exp.Expr:
    """One of several values: sqlglot takes a double beside NUMERIC(10, 2) for that."""
    if isinstance(node, exp.Case):
        values = [*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")]
    else:
        values = [node.this, *node.expressions]
    annotator._annotate_by_args(node, *(value for value in values if value is not None))
    kinds = set(map(_kind, values))
    approximate = exp.DType.DOUBLE if exp.DType.DOUBLE in kinds else exp.DType.FLOAT
    if exp.DType.DECIMAL in kinds and approximate in kinds:
        annotator._set_type(node, approximate)
    if exp.DType.DATE in kinds and (moments := kinds & set(_MOMENTS)):
        zoned = exp.DType.TIMESTAMPTZ in moments
        annotator._set_type(node, exp.DType.TIMESTAMPTZ if zoned else exp.DType.TIMESTAMP)
    return node


def _annotate_minus(annotator: Any, node: exp.Sub) -> exp.Sub:
    """``jsonb - key`` is JSON; the difference of two days is a number, that of other times an interval."""
    left, right = _kind(node.this), _kind(node.expression)
    if left in _JSON:
        annotator._set_type(node, exp.DType.JSONB)
    elif left == right == exp.DType.DATE:
        annotator._set_type(node, exp.DType.INT)
    elif (left in _DAYS_AND_MOMENTS and right in _DAYS_AND_MOMENTS) or left == right == exp.DType.TIME:
        annotator._set_type(node, exp.DType.INTERVAL)
    elif left == exp.DType.DATE and right in (exp.DType.INTERVAL, exp.DType.TIME):
        annotator._set_type(node, exp.DType.TIMESTAMP)
    elif (left, right) == (exp.DType.TIME, exp.DType.INTERVAL) or (
        left in _MOMENTS and right in (exp.DType.INTERVAL, exp.DType.TIME)
    ):
        annotator._set_type(node, left)
    else:
        _annotate_numbers(annotator, node)
    return node


def _annotate_scaled(annotator: Any, node: exp.Binary) -> exp.Binary:
    """An interval times a number, or divided by it."""
    kinds = (_kind(node.this), _kind(node.expression))
    if exp.DType.INTERVAL in kinds:
        annotator._set_type(node, exp.DType.INTERVAL)
    elif isinstance(node, exp.Div) and not _is_plain_quotient(*kinds):
        annotator._annotate_div(node)
    else:
        _annotate_numbers(annotator, node)
    return node


def _is_plain_quotient(left: exp.DType | None, right: exp.DType | None) -> bool:
    """Whether a quotient has the type that a sum of the operands has: sqlglot makes it wider at times."""
    is_known = left is not None and right is not None
    return not is_known or exp.DType.FLOAT in (left, right) or {left, right} <= exp.DataType.INTEGER_TYPES


def _in_zone(moment: exp.Expr) -> exp.DType:
    """The type of ``moment AT TIME ZONE zone``; a day is that of the session's zone."""
    kind = _kind(moment)
    if kind in (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ):
        return exp.DType.TIMESTAMPTZ
    return exp.DType.TIMESTAMP if kind in _DAYS_AND_MOMENTS else exp.DType.UNKNOWN


def _annotate_in_zone(annotator: Any, node: exp.AtTimeZone) -> exp.AtTimeZone:
    annotator._set_type(node, _in_zone(node.this))
    return node


def _annotate_cut(annotator: Any, node: exp.TimestampTrunc) -> exp.TimestampTrunc:
    """A day is taken for a moment of the session's zone."""
    kind = _kind(node.this) or exp.DType.UNKNOWN
    annotator._set_type(node, exp.DType.TIMESTAMPTZ if kind == exp.DType.DATE else kind)
    return node


def _annotate_array(annotator: Any, node: exp.Array) -> exp.Array:
    """``ARRAY(SELECT …)`` has what the query selects."""
    query = node.expressions[0] if len(node.expressions) == 1 else None
    if isinstance(query, exp.Query):
        selected = query.selects[0].type if query.selects else None
        is_typed = selected is not None and selected.this != exp.DType.UNKNOWN
        items = [selected] if is_typed else []
        annotator._set_type(node, exp.DataType(this=exp.DType.ARRAY, expressions=items, nested=True))
    else:
        annotator._annotate_by_args(node, "expressions", array=True)
        if _kind(node) != exp.DType.ARRAY:
            annotator._set_type(node, exp.DataType(this=exp.DType.ARRAY, nested=True))
    return node


def _annotate_bracket(annotator: Any, node: exp.Bracket) -> exp.Bracket:
    if _kind(node.this) in _JSON:
        annotator._set_type(node, exp.DType.JSONB)
    else:
        annotator._annotate_bracket(node)
    return node


def _annotate_part_of_document(annotator: Any, node: exp.Expr) -> exp.Expr:
    is_json = _kind(node.this) == exp.DType.JSON
    annotator._set_type(node, exp.DType.JSON if is_json else exp.DType.JSONB)
    return node


def _annotate_substring(annotator: Any, node: exp.Substring) -> exp.Substring:
    annotator._set_type(node, exp.DType.VARBINARY if _kind(node.this) in _BYTES else exp.DType.VARCHAR)
    return node


def _annotate_part(annotator: Any, node: exp.Extract) -> exp.Extract:
    """``extract(year FROM t)`` is NUMERIC, ``date_part('year', t)`` a double."""
    called = node.meta.get("call") or ("",)
    annotator._set_type(node, exp.DType.DOUBLE if called[0] == "date_part" else exp.DType.DECIMAL)
    return node


def _annotate_literal(annotator: Any, node: exp.Literal) -> exp.Literal:
    """A number with a fraction is NUMERIC, which sqlglot takes for a double, as is one beyond 64 bits."""
    annotated: exp.Literal = annotator._annotate_literal(node)
    if not node.is_string and (not node.is_int or int(node.name) >= 1 << 63):
        annotator._set_type(annotated, exp.DType.DECIMAL)
    elif not node.is_string and int(node.name) >= 1 << 31:
        annotator._set_type(annotated, exp.DType.BIGINT)
    return annotated


def _annotate_negative(annotator: Any, node: exp.Neg) -> exp.Neg:
    """The least integer of each type is of that type, though the number behind its minus is not."""
    number = node.this.unnest()
    type_ = _LEAST.get(number.name) if isinstance(number, exp.Literal) and not number.is_string else None
    annotator._set_type(node, type_ or node.this.type or exp.DType.UNKNOWN)
    return node


_LEAST: Final = {str(1 << 31): exp.DType.INT, str(1 << 63): exp.DType.BIGINT}


def _same(rule: dict[str, Any], *nodes: type[exp.Expr]) -> dict[type[exp.Expr], dict[str, Any]]:
    return {node: dict(rule) for node in nodes}


RESULT_TYPES: Final[dict[type[exp.Expr], dict[str, Any]]] = {
    exp.Literal: {"annotator": _annotate_literal},
    exp.Neg: {"annotator": _annotate_negative},
    exp.Anonymous: {"annotator": _annotate_unknown},
    exp.Add: {"annotator": _annotate_plus},
    exp.Sub: {"annotator": _annotate_minus},
    **_same({"annotator": _annotate_scaled}, exp.Mul, exp.Div),
    exp.DPipe: {"annotator": _annotate_joined},
    **_same({"annotator": _annotate_choice}, exp.Case, exp.Coalesce, exp.Greatest, exp.Least),
    exp.AtTimeZone: {"annotator": _annotate_in_zone},
    exp.TimestampTrunc: {"annotator": _annotate_cut},
    **_same(
        {"returns": exp.DType.INTERVAL},
        exp.JustifyDays,
        exp.JustifyHours,
        exp.JustifyInterval,
        exp.MakeInterval,
    ),
    exp.ExplodingGenerateSeries: {"annotator": _annotate_series},
    exp.RegexpCount: {"returns": exp.DType.INT},
    exp.RegexpInstr: {"returns": exp.DType.INT},
    **_same({"returns": exp.DType.VARCHAR}, exp.RegexpSubstr, exp.Normalize),
    **_same({"returns": exp.DType.BOOLEAN}, exp.Overlaps, exp.MatchAgainst, exp.JSONBPathExists),
    exp.UnixToTime: {"returns": exp.DType.TIMESTAMPTZ},
    exp.Array: {"annotator": _annotate_array},
    exp.Bracket: {"annotator": _annotate_bracket},
    exp.Extract: {"annotator": _annotate_part},
    exp.Substring: {"annotator": _annotate_substring},
    **_same(
        {"annotator": _annotate_as_first}, exp.ArrayAppend, exp.ArrayPrepend, exp.ArrayRemove, exp.Collate
    ),
    exp.StringToArray: {"returns": _TEXTS},
    **_same({"returns": exp.DType.VARCHAR}, exp.ByteString, exp.UnicodeString),
    exp.ArrayPosition: {"returns": exp.DType.INT},
    exp.Atan2: {"returns": exp.DType.DOUBLE},
    exp.Factorial: {"returns": exp.DType.DECIMAL},
    exp.SHA2Digest: {"returns": exp.DType.VARBINARY},
    exp.JSONBDeleteAtPath: {"returns": exp.DType.JSONB},
    **_same({"annotator": _annotate_part_of_document}, exp.JSONExtract, exp.JSONBExtract),
    **_same({"returns": exp.DType.JSON}, exp.JSONArrayAgg, exp.JSONObjectAgg),
    exp.JSONBObjectAgg: {"returns": exp.DType.JSONB},
    **_same({"returns": exp.DType.VARCHAR}, exp.JSONExtractScalar, exp.JSONBExtractScalar),
}
"""What is added to sqlglot's own table of PostgreSQL's types."""
