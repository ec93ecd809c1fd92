"""The types of the results of PostgreSQL's functions, and of sqlglot's nodes that call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.parse.overloads import UNKNOWN, Overload, result_of

CALL: Final = "call"
"""Where a node keeps how its function was called, in its ``meta``: the name, and how many arguments."""

_RESULTS: Final = """
bool: bool_and bool_or every isfinite jsonb_path_exists jsonb_path_match regexp_like starts_with
bytea: convert convert_to decode set_bit set_byte sha224 sha256 sha384 sha512
date: date make_date to_date
float4: ts_rank
float8: acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt corr cos cosd cosh
    cosine_distance cot cotd covar_pop covar_samp cume_dist date_part degrees erf erfc hamming_distance
    inner_product jaccard_distance l1_distance l2_distance l2_norm percent_rank pi radians random
    random_normal regr_avgx regr_avgy regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy sin
    sind sinh tan tand tanh vector_norm
int4: array_length array_lower array_ndims array_position array_upper ascii bit_length cardinality
    char_length character_length get_bit get_byte grouping json_array_length jsonb_array_length length
    min_scale ntile num_nonnulls num_nulls octet_length position regexp_count regexp_instr scale strpos
    vector_dims width_bucket
int8: bit_count count dense_rank rank regr_count row_number txid_current
interval: age justify_days justify_hours justify_interval make_interval
json: array_to_json json_agg json_build_array json_build_object json_extract_path json_object
    json_object_agg json_strip_nulls row_to_json to_json
jsonb: jsonb_agg jsonb_build_array jsonb_build_object jsonb_extract_path jsonb_insert jsonb_object
    jsonb_object_agg jsonb_path_query_array jsonb_path_query_first jsonb_set jsonb_set_lax
    jsonb_strip_nulls to_jsonb
numeric: div extract factorial to_number trim_scale
text: array_dims array_to_string chr concat concat_ws convert_from current_setting encode format initcap
    json_extract_path_text json_typeof jsonb_extract_path_text jsonb_pretty jsonb_typeof left lower lpad
    md5 normalize quote_ident quote_literal quote_nullable regexp_replace regexp_substr repeat replace
    reverse right rpad split_part timeofday to_ascii to_char to_hex translate trim unistr upper version
time: make_time
timestamp: make_timestamp
timestamptz: clock_timestamp date_add date_subtract make_timestamptz now statement_timestamp to_timestamp
    transaction_timestamp
uuid: gen_random_uuid
"""
"""Functions with one type of result, behind it."""

_OVERLOADED: Final = """
abs | float4:float4 float8:float8 int2:int2 int4:int4 int8:int8 numeric:numeric
avg | float4:float8 float8:float8 int2:numeric int4:numeric int8:numeric interval:interval numeric:numeric
bit_and bit_or bit_xor | int2:int2 int4:int4 int8:int8
btrim ltrim rtrim | bytea,bytea:bytea text:text text,text:text
ceil ceiling exp floor ln log10 sign sqrt | float8:float8 numeric:numeric
gcd lcm | int4,int4:int4 int8,int8:int8 numeric,numeric:numeric
generate_series | int4,int4:int4 int4,int4,int4:int4 int8,int8:int8 int8,int8,int8:int8
    numeric,numeric:numeric numeric,numeric,numeric:numeric timestamp,timestamp,interval:timestamp
    timestamptz,timestamptz,interval:timestamptz
log | float8:float8 numeric:numeric numeric,numeric:numeric
mod | int2,int2:int2 int4,int4:int4 int8,int8:int8 numeric,numeric:numeric
overlay | bytea,bytea,int4:bytea bytea,bytea,int4,int4:bytea text,text,int4:text text,text,int4,int4:text
pow power | float8,float8:float8 numeric,numeric:numeric
round trunc | float8:float8 numeric:numeric numeric,int4:numeric
stddev stddev_pop stddev_samp var_pop var_samp variance | float4:float8 float8:float8 int2:numeric
    int4:numeric int8:numeric numeric:numeric
string_agg | bytea,bytea:bytea text,text:text
substr | bytea,int4:bytea bytea,int4,int4:bytea text,int4:text text,int4,int4:text
substring | bytea,int4:bytea bytea,int4,int4:bytea text,int4:text text,int4,int4:text text,text:text
    text,text,text:text
sum | float4:float4 float8:float8 int2:int8 int4:int8 int8:numeric interval:interval numeric:numeric
"""
"""Functions whose result depends on their arguments."""

_TYPES: Final = {
    "bool": exp.DType.BOOLEAN, "bytea": exp.DType.VARBINARY, "int2": exp.DType.SMALLINT,
    "int4": exp.DType.INT, "int8": exp.DType.BIGINT, "float4": exp.DType.FLOAT, "float8": exp.DType.DOUBLE,
    "numeric": exp.DType.DECIMAL, "text": exp.DType.TEXT, "date": exp.DType.DATE, "time": exp.DType.TIME,
    "timestamp": exp.DType.TIMESTAMP, "timestamptz": exp.DType.TIMESTAMPTZ,
    "interval": exp.DType.INTERVAL, "json": exp.DType.JSON, "jsonb": exp.DType.JSONB, "uuid": exp.DType.UUID,
}  # fmt: skip
_NAMES: Final = {
    **{type_: name for name, type_ in _TYPES.items()},
    **dict.fromkeys(exp.DataType.TEXT_TYPES, "text"),
    **dict.fromkeys((exp.DType.CHAR, exp.DType.BPCHAR, exp.DType.NCHAR), "bpchar"),
    exp.DType.TINYINT: "int2",
    exp.DType.TIMESTAMPNTZ: "timestamp",
    exp.DType.BINARY: "bytea",
    exp.DType.ARRAY: "array",
    exp.DType.VECTOR: "vector",
}
_NUMBERS: Final = ("int2", "int4", "int8", "numeric", "float4", "float8")
"""Each holds those before it."""
_ARITHMETIC: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div)
_OF_TWO: Final = (*_ARITHMETIC, exp.Nullif, exp.BitwiseLeftShift, exp.BitwiseRightShift)
_OPERATORS: Final[dict[type[exp.Expr], str]] = {exp.Pow: "power", exp.Mod: "mod", exp.Abs: "abs"}
"""Operators with the types of a function."""


@lru_cache(maxsize=1)
def function_results() -> Mapping[str, tuple[Overload, ...] | str]:
    """The result of each function by its name, or its overloads."""
    table = dict[str, tuple[Overload, ...] | str]()
    for line in _lines(_RESULTS):
        result, _, names = line.partition(": ")
        table |= dict.fromkeys(names.split(), result)
    for line in _lines(_OVERLOADED):
        names, _, overloads = line.partition(" | ")
        parts = (each.partition(":") for each in overloads.split())
        listed = tuple(Overload(tuple(arguments.split(",")), result) for arguments, _, result in parts)
        table |= dict.fromkeys(names.split(), listed)
    return table


def _lines(table: str) -> list[str]:
    """The lines of a table, of which one that is indented goes on with the one before it."""
    return table.strip().replace("\n    ", " ").split("\n")


def with_function_types(metadata: Mapping[type[exp.Expr], Any]) -> dict[type[exp.Expr], Any]:
    """sqlglot's table of the types of nodes, with PostgreSQL's results of functions before it."""
    classes = {*metadata, *exp.ALL_FUNCTIONS, *_OPERATORS, *_OF_TWO}
    calls = filter(_may_call, classes)
    return {**metadata, **{each: annotator_entry(_type_of_call, metadata.get(each)) for each in calls}}


def _may_call(node: type[exp.Expr]) -> bool:
    return issubclass(node, exp.Func) or node in _OPERATORS or node in _OF_TWO


def annotator_entry(rule: Callable[[Any], exp.DataType | exp.DType | None], other: Any) -> dict[str, Any]:
    """An entry of the table: the type by a rule; where it gives None, by ``other``, the entry before."""

    def annotate(annotator: Any, node: exp.Expr) -> exp.Expr:
        type_ = rule(node)
        if type_ is not None:
            annotator._set_type(node, type_)
        elif other and other.get("annotator"):
            other["annotator"](annotator, node)
        else:
            annotator._set_type(node, (other or {}).get("returns") or exp.DType.UNKNOWN)
        return node

    return {"annotator": annotate}


def _type_of_call(node: exp.Expr) -> exp.DType | None:
    return _TYPES.get(_result(node) or _computed(node))


def _result(node: exp.Expr) -> str:
    """PostgreSQL's name of the type of a call; empty for what is no call, or not clear."""
    name, count = node.meta.get(CALL) or (_OPERATORS.get(type(node), ""), 2)
    result = function_results().get(name, "")
    if isinstance(result, str):
        return result
    if type(node) is exp.GenerateSeries:
        return ""  # in FROM, where it is a list
    arguments = _arguments(node)
    # log10(x) is parsed as log(10, x).
    arguments = arguments[-1:] if name == "log10" else arguments[:count]
    return result_of(result, list(map(_name, arguments)))


def _computed(node: exp.Expr) -> str:
    """The type of arithmetic of two numbers, of nullif() and of shifts; empty for anything else."""
    if type(node) not in _OF_TWO:
        return ""
    first, second = _name(node.this), _name(node.expression)
    names = {first, second}
    if not names <= {*_NUMBERS, UNKNOWN} or names == {UNKNOWN}:
        return ""
    if type(node) not in _ARITHMETIC and (first == "float4" or _are_compared(first, second)):
        return first
    if "float4" in names and names - {"float4", UNKNOWN}:
        return "float8"
    return max(names - {UNKNOWN}, key=_NUMBERS.index)


def _are_compared(first: str, second: str) -> bool:
    """Whether numbers of two types are compared, or shifted, as they are: nullif() gives the first one."""
    return any(first in kind and second in kind for kind in (_NUMBERS[:3], _NUMBERS[4:]))


def _arguments(node: exp.Expr) -> list[exp.Expr]:
    parts = (node.args.get(name) for name in node.arg_types)
    flat = [each for part in parts for each in (part if isinstance(part, list) else [part])]
    return [each for each in flat if isinstance(each, exp.Expr) and not isinstance(each, exp.Var)]


def _name(node: exp.Expr) -> str:
    """PostgreSQL's name of the type of an argument; empty if it is not known."""
    while isinstance(node, (exp.Paren, exp.Order, exp.Distinct)):
        node = node.expressions[0] if isinstance(node, exp.Distinct) else node.this
    if isinstance(node, exp.Null) or (isinstance(node, exp.Literal) and node.is_string):
        return UNKNOWN
    type_ = node.type
    return "" if type_ is None else _NAMES.get(type_.this, "")


def _type_of(node: exp.Expr) -> exp.DType | None:
    return node.type.this if node.type is not None else None


def _annotate_average(annotator: Any, node: exp.Expr) -> exp.Expr:
    """The average or deviation of whole numbers and NUMERICs is NUMERIC, of others a double; that of vectors
    is a vector."""
    if _type_of(_behind_distinct(node)) in (exp.DType.ARRAY, exp.DType.VECTOR):
        annotator._set_type(node, _behind_distinct(node).type)
        return node
    exact = _type_of(_behind_distinct(node)) in {*exp.DataType.INTEGER_TYPES, exp.DType.DECIMAL}
    annotator._set_type(node, exp.DType.DECIMAL if exact else exp.DType.DOUBLE)
    return node


def _annotate_of_number(annotator: Any, node: exp.Expr) -> exp.Expr:
    """A function of a NUMERIC is NUMERIC, of other numbers a double."""
    exact, operand = {exp.DType.DECIMAL}, node.this
    if isinstance(node, (exp.Round, exp.Trunc)) and node.args.get("decimals") is not None:
        exact |= exp.DataType.INTEGER_TYPES
    if isinstance(node, exp.Log) and node.expression is not None:
        operand = node.expression
        exact |= set() if (node.meta.get("call") or ("",))[0] == "log10" else exp.DataType.INTEGER_TYPES
    annotator._set_type(node, exp.DType.DECIMAL if _type_of(operand) in exact else exp.DType.DOUBLE)
    return node


def _behind_distinct(node: exp.Expr) -> exp.Expr:
    """The argument of an aggregate, also behind DISTINCT."""
    argument: exp.Expr = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    return argument


def _annotate_power(annotator: Any, node: exp.Binary) -> exp.Binary:
    kinds = {_type_of(node.this), _type_of(node.expression)}
    exact = exp.DType.DECIMAL in kinds and kinds <= {exp.DType.DECIMAL, *exp.DataType.INTEGER_TYPES}
    annotator._set_type(node, exp.DType.DECIMAL if exact else exp.DType.DOUBLE)
    return node


def _annotate_sum(annotator: Any, node: exp.Sum) -> exp.Sum:
    """The sum of a BIGINT is NUMERIC, of smaller integers a BIGINT."""
    if _type_of(_behind_distinct(node)) == exp.DType.BIGINT:
        annotator._set_type(node, exp.DType.DECIMAL)
    else:
        annotator._annotate_by_args(node, "this", "expressions", promote=True)
    return node


def _annotated_by(rule: Any, *nodes: type[exp.Expr]) -> dict[type[exp.Expr], dict[str, Any]]:
    return {node: {"annotator": rule} for node in nodes}


NUMBER_TYPES: Final[dict[type[exp.Expr], dict[str, Any]]] = {
    **_annotated_by(_annotate_sum, exp.Sum),
    **_annotated_by(_annotate_power, exp.Pow),
    **_annotated_by(_annotate_of_number, exp.Sqrt, exp.Exp, exp.Ln, exp.Log, exp.Sign),
    **_annotated_by(_annotate_of_number, exp.Round, exp.Trunc, exp.Floor, exp.Ceil),
    **_annotated_by(_annotate_average, exp.Avg, exp.Stddev, exp.StddevSamp, exp.StddevPop),
    **_annotated_by(_annotate_average, exp.Variance, exp.VariancePop),
    exp.IntDiv: {"returns": exp.DType.DECIMAL},
}
"""The types of numbers that are computed of others, where sqlglot has doubles."""
