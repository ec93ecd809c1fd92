"""Where DuckDB's meaning differs from PostgreSQL's: rules that rewrite nodes of a typed tree."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

_INTEGERS = exp.DataType.INTEGER_TYPES
_FLOATS = {exp.DType.FLOAT, exp.DType.DOUBLE}
_TEXTS = exp.DataType.TEXT_TYPES
_JSON = {exp.DType.JSON, exp.DType.JSONB}
_VECTORS = {exp.DType.VECTOR}
_VECTOR_WORDS = {"VECTOR", "HALFVEC"}
_MAX_DIM_OF_SUM: Final = 4_096

Rule = Callable[[Any], exp.Expr]


def rewrite_for_duckdb(tree: exp.Expr) -> exp.Expr:
    """Apply the rules, innermost nodes first. The tree is changed, and returned."""
    for node in reversed(list(tree.walk())):
        rule = RULES.get(type(node)) or _BY_NAME.get(_name(node))
        rewritten = node if rule is None else rule(node)
        if rewritten is node:
            continue
        if isinstance(rewritten, (exp.Anonymous, exp.Paren)) and not rewritten.type:
            rewritten.type = node.type
        if node is tree:
            tree = rewritten
        node.replace(rewritten)
    return tree


def _name(node: exp.Expr) -> str:
    return str(node.this).upper() if isinstance(node, exp.Anonymous) else ""


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """A call of a function of DuckDB or of a macro."""
    # In parentheses, because DuckDB takes an arrow in an argument for a lambda.
    parts = [exp.paren(part) if isinstance(part, exp.JSONExtract) else part.copy() for part in arguments]
    return exp.Anonymous(this=name, expressions=parts)


def kind(node: exp.Expr | None) -> Any:
    """The type of a node, as sqlglot names it; None if it is unknown."""
    while isinstance(node, (exp.Paren, exp.Alias)):
        node = node.this
    if isinstance(node, exp.Literal) and not node.is_string and not node.name.isdecimal():
        return exp.DType.DECIMAL
    type_ = node.type if node is not None else None
    return None if type_ is None or type_.this in (exp.DType.UNKNOWN, exp.DType.USERDEFINED) else type_.this


def is_vector(node: exp.Expr | None) -> bool:
    """Whether a node has the type of a vector."""
    type_ = node.type if node is not None else None
    if type_ is None:
        return False
    return type_.this == exp.DType.VECTOR or (
        type_.this == exp.DType.ARRAY and bool(type_.args.get("values") or type_.meta.get("vector"))
    )


def _quotient(node: exp.Div) -> exp.Expr:
    left, right = _numeric(node.this, node.expression), _numeric(node.expression, node.this)
    whole = kind(node.this) in _INTEGERS and kind(node.expression) in _INTEGERS
    return call("pg_integer_quotient" if whole else "pg_quotient", left, right)


def _remainder(node: exp.Mod) -> exp.Expr:
    return call("pg_remainder", _numeric(node.this, node.expression), _numeric(node.expression, node.this))


_VECTOR_ARITHMETIC: Final = {exp.Add: "vector_add", exp.Sub: "vector_subtract", exp.Mul: "vector_multiply"}


def _arithmetic(node: exp.Binary) -> exp.Expr:
    left, right = node.this, node.expression
    if type(node) in _VECTOR_ARITHMETIC and (is_vector(left) or is_vector(right)):
        return call(_VECTOR_ARITHMETIC[type(node)], left, right)
    for side, other, name in ((left, right, "this"), (right, left, "expression")):
        converted = _widened(_numeric(side, other), other)
        if converted is not side:
            node.set(name, converted)
    return node


def _widened(node: exp.Expr, other: exp.Expr) -> exp.Expr:
    """A small number as PostgreSQL promotes it beside another."""
    own, type_ = kind(node), kind(other)
    if own == exp.DType.FLOAT and type_ not in (None, exp.DType.FLOAT):
        return exp.cast(node.copy(), "double")
    if own in (exp.DType.TINYINT, exp.DType.SMALLINT) and isinstance(other, exp.Literal):
        return exp.cast(node.copy(), "int")
    return node


_STRICTER: dict[type[exp.Expr], type[exp.Binary]] = {exp.LTE: exp.LT, exp.GTE: exp.GT}


def _compare_rows(left: list[exp.Expr], right: list[exp.Expr], operator: type[exp.Binary]) -> exp.Expr:
    """A comparison of rows, element by element: DuckDB orders NULLs in rows as values."""
    first = operator(this=left[0].copy(), expression=right[0].copy())
    if len(left) == 1:
        return _compare(first)
    rest = _compare_rows(left[1:], right[1:], operator)
    if operator is exp.EQ:
        return exp.and_(_compare(first), rest)
    if operator is exp.NEQ:
        return exp.paren(exp.or_(_compare(first), rest))
    strict = _STRICTER.get(operator, operator)(this=left[0].copy(), expression=right[0].copy())
    equal = exp.EQ(this=left[0].copy(), expression=right[0].copy())
    return exp.paren(exp.or_(_compare(strict), exp.paren(exp.and_(_compare(equal), rest))))


def _in_rows(node: exp.In) -> exp.Expr:
    """``(a, b) IN ((1, 2), (3, 4))``."""
    row = node.this
    if not isinstance(row, exp.Tuple) or not all(isinstance(item, exp.Tuple) for item in node.expressions):
        return node
    same = [_compare_rows(row.expressions, item.expressions, exp.EQ) for item in node.expressions]
    return exp.paren(exp.or_(*same)) if same else node


def _compare(node: exp.Binary) -> exp.Expr:
    left, right = node.this, node.expression
    if (
        isinstance(left, exp.Tuple)
        and isinstance(right, exp.Tuple)
        and len(left.expressions) == len(right.expressions)
    ):
        return exp.paren(_compare_rows(left.expressions, right.expressions, type(node)))
    _type_arrays(node)
    if _quantifier(node.expression) is not None:
        return _quantified(node)
    for name, other in (("this", node.expression), ("expression", node.this)):
        side = node.args[name]
        if kind(other) == exp.DType.BOOLEAN and isinstance(side, exp.Literal) and side.is_string:
            node.set(name, call("pg_boolean", side))
        elif kind(side) == exp.DType.FLOAT and kind(other) not in (None, exp.DType.FLOAT):
            node.set(name, exp.cast(side.copy(), "double"))
    return node


def _numeric(node: exp.Expr, other: exp.Expr) -> exp.Expr:
    """A string constant beside a number, as that number: '5' + 1."""
    if not (isinstance(node, exp.Literal) and node.is_string) or kind(other) is None:
        return node
    other_kind = kind(other)
    if other_kind in _INTEGERS or other_kind in _FLOATS:
        return exp.cast(node.copy(), exp.DataType(this=other_kind))
    return node


def _round(node: exp.Round) -> exp.Expr:
    if node.args.get("decimals") is None and kind(node.this) in _FLOATS:
        return call("round_even", node.this, exp.Literal.number(0))
    return node


def _sum(node: exp.Sum) -> exp.Expr:
    if is_vector(node.this):
        return _vector_aggregate(node, exp.Sum)
    if kind(node.this) in _INTEGERS and kind(node.this) != exp.DType.BIGINT:
        return _outside(node, lambda whole: exp.cast(whole, "bigint"))
    return node


def _regression(node: exp.Expr) -> exp.Expr:
    """Of points without a spread DuckDB gives NaN, PostgreSQL NULL."""
    return _outside(node, lambda whole: call("pg_no_nan", whole))


def _avg(node: exp.Avg) -> exp.Expr:
    return _vector_aggregate(node, exp.Avg) if is_vector(node.this) else node


def _vector_aggregate(node: exp.Expr, aggregate: Callable[..., exp.Expr]) -> exp.Expr:
    """The aggregate of each element: DuckDB has none of lists."""
    type_ = node.this.type
    sizes = [int(value.name) for value in type_.args.get("values") or () if value.name.isdecimal()]
    dim = sizes[0] if sizes else 0
    if not 0 < dim <= _MAX_DIM_OF_SUM:
        return node
    parts = [
        aggregate(this=exp.Bracket(this=node.this.copy(), expressions=[exp.Literal.number(at)], offset=1))
        for at in range(1, dim + 1)
    ]
    values = exp.cast(exp.Array(expressions=parts), "float[]")
    counted = exp.Count(this=node.this.copy())
    return exp.Case(ifs=[exp.If(this=exp.GT(this=counted, expression=exp.Literal.number(0)), true=values)])


def _outside(node: exp.Expr, wrap: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Wrap an aggregate with the FILTER or OVER around it."""
    whole = node
    while isinstance(whole.parent, (exp.Filter, exp.Window, exp.WithinGroup)) and whole.arg_key == "this":
        whole = whole.parent
    if whole is node:
        return wrap(node.copy())
    whole.replace(wrap(whole.copy()))
    return node


def _like(node: exp.Expr) -> exp.Expr:
    """PostgreSQL's escape character is the backslash; DuckDB has none unless it is named."""
    quantified = node.expression
    inner = quantified.this if isinstance(quantified, (exp.Any, exp.All)) else None
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Array):
        parts = [type(node)(this=node.this.copy(), expression=item.copy()) for item in inner.expressions]
        joined = (exp.or_ if isinstance(quantified, exp.Any) else exp.and_)(*map(_like, parts))
        return exp.paren(joined)
    if isinstance(node.parent, exp.Escape):
        return node
    if isinstance(quantified, exp.Literal) and "\\" not in quantified.name:
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


_WILDCARDS = {"%": ".*", "_": "."}


def _similar(node: exp.SimilarTo) -> exp.Expr:
    """SQL's pattern as a regular expression: DuckDB's SIMILAR TO takes the latter."""
    pattern = node.expression
    if isinstance(pattern, exp.Literal):
        regex = re.sub(r"[%_.^$]", lambda match: _WILDCARDS.get(match[0], "\\" + match[0]), pattern.name)
        node.set("expression", exp.Literal.string(f"(?s){regex}"))
    return node


def _between(node: exp.Between) -> exp.Expr:
    if not node.args.get("symmetric"):
        return node
    low, high = node.args["low"], node.args["high"]
    return exp.Between(this=node.this.copy(), low=call("least", low, high), high=call("greatest", low, high))


def _array_size(node: exp.Expr) -> exp.Expr:
    dimension = node.args.get("expression")
    if dimension is not None and dimension.name not in ("1", ""):
        return exp.Null()
    return call("pg_array_length", node.this)


def _array_length(node: exp.Anonymous) -> exp.Expr:
    if len(node.expressions) == 2 and node.expressions[1].name not in ("1", ""):
        return exp.Null()
    return call("pg_array_length", node.expressions[0]) if node.expressions else node


def _cardinality(node: exp.Anonymous) -> exp.Expr:
    return call("len", *node.expressions)


def _bracket(node: exp.Bracket) -> exp.Expr:
    # Both count from 1, but sqlglot takes indexes of this grammar for those from 0.
    node.set("offset", 1)
    index = node.expressions[0] if len(node.expressions) == 1 else None
    if index is None or isinstance(index, exp.Slice) or kind(node.this) in _JSON:
        return node
    if isinstance(index, exp.Literal) and index.name not in ("0",):
        return node
    return call("pg_element", node.this, index)


def _overlaps(node: exp.ArrayOverlaps) -> exp.Expr:
    _type_arrays(node)
    return node


def _type_arrays(node: exp.Binary) -> None:
    """Give an array constant beside an array the type of that."""
    for name, other in (("this", node.expression), ("expression", node.this)):
        side, type_ = node.args[name], other.type
        if (
            isinstance(side, exp.Literal)
            and side.is_string
            and kind(other) == exp.DType.ARRAY
            and type_ is not None
        ):
            element = type_.expressions[0].this if type_.expressions else None
            node.set(name, _typed_array(side, element))


def _contains(node: exp.ArrayContainsAll) -> exp.Expr:
    _type_arrays(node)
    if kind(node.this) in _JSON or kind(node.expression) in _JSON:
        return call("json_contains", _as_json(node.this), _as_json(node.expression))
    return call("pg_has_all", node.this, node.expression)


def _contained(node: exp.ArrayContainedBy) -> exp.Expr:
    _type_arrays(node)
    if kind(node.this) in _JSON or kind(node.expression) in _JSON:
        return call("json_contains", _as_json(node.expression), _as_json(node.this))
    return call("pg_has_all", node.expression, node.this)


def _as_json(node: exp.Expr) -> exp.Expr:
    return node if kind(node) in _JSON else exp.cast(node.copy(), "json")


def _json_key(node: exp.Expr) -> exp.Expr:
    return call("json_has_key", node.this, node.expression)


def _json_keys(*, any_of: bool) -> Rule:
    def keys(node: Any) -> exp.Expr:
        return call("json_has_any" if any_of else "json_has_all", node.this, node.expression)

    return keys


def _json_path(node: exp.Expr) -> exp.Expr:
    """``j #> '{a,0}'`` as one step after the other."""
    path = node.expression
    if not isinstance(path, exp.Literal) or not path.name.startswith("{"):
        return node
    steps = [step.strip().strip('"') for step in path.name.strip("{}").split(",") if step.strip()]
    joined = "".join(_path_step(step) for step in steps)
    name = "json_extract_string" if isinstance(node, exp.JSONBExtractScalar) else "json_extract"
    return call(name, node.this, exp.Literal.string(f"${joined}"))


def _path_step(step: str) -> str:
    if step.lstrip("-").isdecimal():
        return f"[#{step}]" if step.startswith("-") else f"[{step}]"
    return f'."{step}"'


def _json_text(node: exp.JSONExtractScalar) -> exp.Expr:
    """Objects and arrays as text are spaced as PostgreSQL prints them."""
    extracted = exp.JSONExtract(**{name: value for name, value in node.args.items() if value is not None})
    return call("pg_json_text", exp.paren(_json_item(extracted)))


def _json_item(node: exp.JSONExtract) -> exp.Expr:
    """An element by its index: of a scalar, PostgreSQL takes the scalar itself."""
    path = node.expression
    steps = path.expressions[1:] if isinstance(path, exp.JSONPath) else []
    index: exp.Expr | None = None
    if len(steps) == 1 and isinstance(steps[0], exp.JSONPathSubscript) and isinstance(steps[0].this, int):
        index = exp.Literal.number(steps[0].this)
    elif isinstance(path, (exp.Neg, exp.Literal)) and not path.is_string:
        index = path
    return node if index is None else call("pg_json_item", node.this, index)


_WORDS_OF_INTEGERS = {
    exp.DType.BIGINT: "bigint", exp.DType.INT: "integer", exp.DType.SMALLINT: "smallint",
}  # fmt: skip


def _cast(node: exp.Cast) -> exp.Expr:
    to = node.args["to"]
    word = to.args["kind"].name.upper() if to.this == exp.DType.USERDEFINED and to.args.get("kind") else ""
    if to.this == exp.DType.VECTOR or word in _VECTOR_WORDS:
        cast = exp.cast(node.this.copy(), "float[]")
        size = to.expressions[0].this if to.expressions else None
        return call("pg_check_dims", cast, size) if size is not None else cast
    if to.this == exp.DType.ARRAY and isinstance(node.this, exp.Literal) and node.this.name.startswith("{"):
        return _typed_array(node.this, to.expressions[0].this if to.expressions else None)
    if to.this in _JSON:
        node.set("to", exp.DataType.build("json"))
    if to.this in _TEXTS and is_vector(node.this):
        return call("pg_vector_text", node.this)
    if kind(node.this) in _TEXTS and to.this in _WORDS_OF_INTEGERS:
        word = exp.Literal.string(_WORDS_OF_INTEGERS[to.this])
        node.set("this", call("pg_whole", node.this, word))
        return node
    if kind(node.this) in _TEXTS and to.this == exp.DType.BOOLEAN:
        return call("pg_boolean", node.this)
    if to.this in _TEXTS and kind(node.this) in _FLOATS:
        return call("pg_float_text", node.this)
    if to.this == exp.DType.VARCHAR and to.expressions and isinstance(to.expressions[0].this, exp.Literal):
        text = exp.cast(node.this.copy(), "text")
        return call("left", text, to.expressions[0].this)
    return node


def _substring(node: exp.Substring) -> exp.Expr:
    start, length = node.args.get("start"), node.args.get("length")
    plain = length is None or _is_positive(length)
    if start is None or kind(node.this) not in (None, *_TEXTS) or (_is_positive(start) and plain):
        return node
    return call("pg_substring", node.this, start, *([length] if length is not None else []))


def _is_positive(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.name.isdecimal() and int(node.name) > 0


def _renamed(name: str) -> Rule:
    return lambda node: call(name, *node.expressions)


def _pad(name: str) -> Rule:
    def padded(node: Any) -> exp.Expr:
        fill = node.args.get("fill_pattern") or exp.Literal.string(" ")
        return call(name, node.this, node.expression, fill)

    return padded


def _pad_rule(node: exp.Pad) -> exp.Expr:
    return _pad("lpad" if node.args.get("is_left") else "rpad")(node)


def _quantified(node: exp.Binary) -> exp.Expr:
    """``x < ANY('{1,2}')``: the constant is an array of the other side's type."""
    inner = _quantifier(node.expression)
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if inner is None or isinstance(inner, exp.Query):
        return node
    values = inner.copy()
    if isinstance(inner, exp.Literal) and inner.is_string:
        values = _typed_array(inner, kind(node.this))
    # DuckDB's own ANY and ALL of a list are subqueries, which it does not allow everywhere.
    element = exp.to_identifier("pg_item")
    compared = type(node)(this=node.this.copy(), expression=element.copy())
    transformed = call("list_transform", values, exp.Lambda(this=compared, expressions=[element]))
    return call("pg_any" if isinstance(node.expression, exp.Any) else "pg_all", transformed)


def _quantifier(node: exp.Expr) -> exp.Expr | None:
    """What is inside ANY(…) or ALL(…), the latter of which may parse as a function; None for another node."""
    if isinstance(node, (exp.Any, exp.All)):
        inner: exp.Expr = node.this
        return inner
    is_call = isinstance(node, exp.Anonymous) and _name(node) == "ALL" and len(node.expressions) == 1
    return node.expressions[0] if is_call else None


def _typed_array(node: exp.Literal, element: Any) -> exp.Expr:
    """A constant in PostgreSQL's notation, '{1,NULL,"a b"}', as an array."""
    values = array_constant(node.name)
    if values is None:
        return node.copy()
    items = [exp.Null() if value is None else exp.Literal.string(value) for value in values]
    if element is None:
        return exp.Array(expressions=items)
    type_ = exp.DataType(this=element)
    return exp.cast(
        exp.Array(expressions=items), exp.DataType(this=exp.DType.ARRAY, expressions=[type_], nested=True)
    )


_ARRAY_ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",{}]*))\s*(,|$)')


def array_constant(text: str) -> list[str | None] | None:
    """The elements of an array constant of one dimension; None if the text is none."""
    text = text.strip()
    if not text.startswith("{") or not text.endswith("}"):
        return None
    body, at, values = text[1:-1], 0, list[str | None]()
    if not body.strip():
        return values
    while True:
        match = _ARRAY_ITEM.match(body, at)
        if match is None:
            return None
        quoted, plain = match[1], match[2]
        if quoted is not None:
            values.append(re.sub(r"\\(.)", r"\1", quoted))
        else:
            values.append(None if plain.strip().upper() == "NULL" else plain.strip())
        if not match[3]:
            return values
        at = match.end()


def _concat(node: exp.Expr) -> exp.Expr:
    """In concat() a boolean is t or f."""
    for item in node.expressions:
        inner = item.this if isinstance(item, (exp.Coalesce, exp.Cast)) else item
        if kind(inner) == exp.DType.BOOLEAN:
            case = exp.Case(ifs=[exp.If(this=inner.copy(), true=exp.Literal.string("t"))])
            case.append("ifs", exp.If(this=exp.Not(this=inner.copy()), true=exp.Literal.string("f")))
            inner.replace(case)
    return node


def _whole_quotient(node: exp.IntDiv) -> exp.Expr:
    return exp.cast(call("trunc", call("pg_quotient", node.this, node.expression)), "double")


def _power(node: exp.Pow) -> exp.Expr:
    return call("pg_power", node.this, node.expression)


def _distinct(node: exp.Binary) -> exp.Expr:
    """IS DISTINCT FROM a constant: DuckDB cannot push an OR of such into the scan of an Arrow table."""
    left, right = node.this, node.expression
    sides = (left, right)
    if all(side.find(exp.Column) for side in sides) or any(isinstance(side, exp.Tuple) for side in sides):
        return node
    unequal = _compare(exp.NEQ(this=left.copy(), expression=right.copy()))
    nulls = exp.NEQ(this=exp.paren(left.is_(exp.null())), expression=exp.paren(right.is_(exp.null())))
    distinct = exp.Coalesce(this=unequal, expressions=[nulls])
    return exp.Not(this=distinct) if isinstance(node, exp.NullSafeEQ) else distinct


def _is_boolean(node: exp.Is) -> exp.Expr:
    """IS TRUE and IS FALSE, for the same reason."""
    if not isinstance(node.expression, exp.Boolean) or node.args.get("negate"):
        return node
    condition = node.this.copy()
    holds = condition if node.expression.this else exp.Not(this=exp.paren(condition))
    return exp.Coalesce(this=holds, expressions=[exp.false()])


def _split_part(node: exp.SplitPart) -> exp.Expr:
    if "part_index" not in node.args:
        return node
    return call("pg_split_part", node.this, node.args["delimiter"], node.args["part_index"])


RULES: Final[dict[type[exp.Expr], Rule]] = {
    exp.Div: _quotient,
    exp.Mod: _remainder,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul), _arithmetic),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), _distinct),
    exp.Is: _is_boolean,
    **dict.fromkeys((exp.Hex, exp.LowerHex), lambda node: call("lower", call("to_hex", node.this))),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), _compare),
    exp.In: _in_rows,
    exp.IntDiv: _whole_quotient,
    exp.Pow: _power,
    exp.Exp: lambda node: call("pg_finite", node),
    exp.Concat: _concat,
    exp.ConcatWs: _concat,
    exp.SplitPart: _split_part,
    exp.JSONExtractScalar: _json_text,
    exp.JSONExtract: _json_item,
    exp.Round: _round,
    exp.Sum: _sum,
    exp.Avg: _avg,
    **dict.fromkeys((exp.Corr, exp.RegrSlope, exp.RegrIntercept, exp.RegrR2), _regression),
    exp.Like: _like,
    exp.ILike: _like,
    exp.SimilarTo: _similar,
    exp.Between: _between,
    exp.ArraySize: _array_size,
    exp.Bracket: _bracket,
    exp.ArrayContainsAll: _contains,
    exp.ArrayContainedBy: _contained,
    exp.ArrayOverlaps: _overlaps,
    exp.JSONBContainsTopKey: _json_key,
    exp.JSONBContainsAnyTopKeys: _json_keys(any_of=True),
    exp.JSONBContainsAllTopKeys: _json_keys(any_of=False),
    exp.JSONBExtract: _json_path,
    exp.JSONBExtractScalar: _json_path,
    exp.Cast: _cast,
    exp.Substring: _substring,
    exp.Pad: _pad_rule,
}

_BY_NAME: Final[dict[str, Rule]] = {
    "ARRAY_LENGTH": _array_length,
    "CARDINALITY": _cardinality,
    "EVERY": _renamed("bool_and"),
    "JSONB_BUILD_OBJECT": _renamed("json_object"),
    "JSON_BUILD_OBJECT": _renamed("json_object"),
    "JSONB_BUILD_ARRAY": _renamed("json_array"),
    "JSON_BUILD_ARRAY": _renamed("json_array"),
    "JSONB_AGG": _renamed("json_group_array"),
    "JSON_AGG": _renamed("json_group_array"),
    "JSONB_ARRAY_LENGTH": _renamed("json_array_length"),
    "JSONB_TYPEOF": lambda node: call("pg_json_type", *node.expressions),
    "JSON_TYPEOF": lambda node: call("pg_json_type", *node.expressions),
    "TO_JSONB": _renamed("to_json"),
}
"""Rules for functions that sqlglot does not know."""
