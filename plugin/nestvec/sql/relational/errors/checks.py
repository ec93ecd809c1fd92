"""Types that PostgreSQL refuses where DuckDB would convert a value: checked on the typed tree."""

from __future__ import annotations

import math
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.operators import IS_UNKNOWN
from nestvec.sql.parse.source import SourceText, chain_operands, first_select, without_parens
from nestvec.sql.relational.errors.levels import check_levels
from nestvec.sql.relational.names import function_label, source_node
from nestvec.sql.relational.rewrites.calls.type_names import note_type
from nestvec.sql.relational.rewrites.nodes import (
    DAYS_AND_MOMENTS,
    FLOAT_TYPES,
    INTEGERS,
    JSON_TYPES,
    TEXT_TYPES,
    kind,
)
from nestvec_schemas.base_error import ABSENT
from nestvec_schemas.errors import SqlError

_CAST: Final = "Add a cast, for example (meta->>'year')::int or year::text."
_NUMBERS: Final = frozenset({*INTEGERS, *FLOAT_TYPES, exp.DType.DECIMAL})
_FRACTIONS: Final = frozenset({*FLOAT_TYPES, exp.DType.DECIMAL})
_OPERATORS: Final[dict[type[exp.Expr], str]] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_OF_NUMBERS: Final = (exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.Sqrt, exp.Exp, exp.Ln, exp.Sum, exp.Avg)
_OF_TEXTS: Final = (exp.Replace, exp.Trim, exp.Lower, exp.Upper, exp.Reverse, exp.Initcap, exp.StartsWith)


_OTHER_INTEGERS: Final = frozenset({exp.DType.BIGINT, exp.DType.SMALLINT})
_MOMENTS: Final = frozenset({*DAYS_AND_MOMENTS, exp.DType.TIME})
_FOR_NUMBERS: Final = (("the aggregate", "a number"), frozenset({exp.DType.BOOLEAN, *_MOMENTS, *JSON_TYPES}))
_FOR_BOOLEANS: Final = (("the aggregate", "a boolean"), frozenset({*_NUMBERS, *TEXT_TYPES}))
_FOR_BITS: Final = (("the aggregate", "an integer"), frozenset({*_FRACTIONS, *TEXT_TYPES, exp.DType.BOOLEAN}))
_FOR_EXTREMES: Final = (
    ("the aggregate", "a number, a string or a time"),
    frozenset({exp.DType.BOOLEAN, *JSON_TYPES}),
)
_AGGREGATED: Final[dict[type[exp.Expr], tuple[tuple[str, str], frozenset[exp.DType]]]] = {
    **dict.fromkeys((exp.Sum, exp.Avg), _FOR_NUMBERS),
    **dict.fromkeys((exp.LogicalAnd, exp.LogicalOr), _FOR_BOOLEANS),
    **dict.fromkeys((exp.BitwiseAndAgg, exp.BitwiseOrAgg, exp.BitwiseXorAgg), _FOR_BITS),
    **dict.fromkeys((exp.Max, exp.Min), _FOR_EXTREMES),
}
"""What aggregates take, and the types that they do not take."""


def check_types(source: SourceText, tree: exp.Expr) -> None:
    """Raise SqlTypeMismatch for operands that PostgreSQL has no operator or function for."""
    check_levels(source, tree)
    for node in tree.walk():
        if isinstance(node, (exp.And, exp.Or)):
            is_inner = node is not tree and type(node.parent) is type(node) and node.arg_key == "this"
            # The operands of a chain are those of its outermost node.
            for operand in () if is_inner else chain_operands(node):
                _check_boolean(source, operand, "AND" if isinstance(node, exp.And) else "OR")
        elif isinstance(node, exp.Not):
            _check_boolean(source, node.this, "NOT")
        elif isinstance(node, exp.Is):
            if isinstance(node.expression, exp.Boolean) or IS_UNKNOWN in node.meta:
                _check_boolean(source, node.this, "IS TRUE, FALSE or UNKNOWN")
        elif isinstance(node, (exp.Where, exp.Having)):
            _check_boolean(source, node.this, "WHERE" if isinstance(node, exp.Where) else "HAVING")
        elif isinstance(node, exp.Case):
            _check_case(source, node)
        elif isinstance(node, exp.Mod) and not {kind(node.this), kind(node.expression)}.isdisjoint(
            FLOAT_TYPES
        ):
            real = next(part for part in (node.this, node.expression) if kind(part) in FLOAT_TYPES)
            raise _mismatch(source, real, "%", "an integer or a numeric")
        elif type(node) in _OPERATORS and kind(node) not in JSON_TYPES:
            for operand in (node.this, node.args["expression"]):
                _check_number(source, operand, _OPERATORS[type(node)])
        elif isinstance(node, _COMPARISONS):
            _check_comparable(source, node.this, node.args["expression"])
        elif isinstance(node, (exp.In, exp.Between)):
            for item in (*node.expressions, node.args.get("low"), node.args.get("high")):
                if item is not None:
                    _check_comparable(source, node.this, item)
        elif isinstance(node, exp.Join):
            if node.args.get("on") is not None:
                _check_boolean(source, node.args["on"], "JOIN … ON")
        elif isinstance(node, exp.Bracket):
            if kind(node.this) in _NUMBERS | {exp.DType.BOOLEAN} or _is_text_column(node.this):
                raise _mismatch(source, node.this, "a subscript", "an array")
        else:
            _check_values(source, node)


def _check_values(source: SourceText, node: exp.Expr) -> None:
    """The types of the arguments of functions, of values of which one is chosen, and of clauses."""
    if type(node) in _AGGREGATED and kind(node.this) in _AGGREGATED[type(node)][1]:
        raise _mismatch(source, node.this, *_AGGREGATED[type(node)][0])
    if isinstance(node, _OF_NUMBERS):
        _check_number(source, node.this, construct_name(node).removeprefix("the aggregate "))
    elif isinstance(node, _OF_TEXTS):
        if kind(node.this) in _NUMBERS | {exp.DType.BOOLEAN} | _MOMENTS:
            raise _mismatch(source, node.this, function_label(node).lower(), "a string")
    elif isinstance(node, (exp.ArrayContainsAll, exp.ArrayContainedBy)):
        _check_documents(source, node)
    elif isinstance(node, exp.DPipe):
        _check_documents(source, node)
        _check_texts(source, node)
    elif isinstance(node, (exp.BitwiseLeftShift, exp.BitwiseRightShift)):
        if kind(node.this) in _FRACTIONS:
            raise _mismatch(source, node.this, "a shift", "an integer")
    elif isinstance(node, exp.Literal) and not node.is_string and math.isinf(float(node.name)):
        raise source.type_mismatch(
            "the number is out of range", node.name[:40], node, "Use a smaller number."
        )
    elif isinstance(node, (exp.Cast, exp.Is)) and isinstance(without_parens(node.this), exp.TableColumn):
        raise source.not_supported("a row as one value", node, "Name the columns, or write to_jsonb(t).")
    elif isinstance(node, exp.Cast):
        _check_cast(source, node)
    elif isinstance(node, exp.Anonymous) and node.name.upper() == "PG_TYPEOF":
        note_type(node)
    elif isinstance(node, (exp.Limit, exp.Offset)):
        _check_not_negative(source, node)
    elif isinstance(node, exp.Select):
        _check_distinct(source, node)
    elif isinstance(node, exp.Nullif):
        _check_comparable(source, node.this, node.expression)
    elif isinstance(node, exp.Array):
        _check_choice(source, node.expressions, "ARRAY")
    elif isinstance(node, exp.GroupConcat):
        _check_joined(source, node)
    elif isinstance(node, (exp.Coalesce, exp.Greatest, exp.Least)):
        _check_choice(source, [node.this, *node.expressions], type(node).__name__.upper())
    elif isinstance(node, exp.SetOperation):
        _check_united(source, node)


def _mismatch(source: SourceText, node: exp.Expr, taker: str, expected: str) -> SqlError:
    name = str(getattr(kind(node), "value", kind(node)))
    return source.type_mismatch(f"{taker} takes {expected}, not {name}", ABSENT, node, _CAST)


def _check_not_negative(source: SourceText, node: exp.Limit | exp.Offset) -> None:
    value = node.args.get("expression")
    number = value.this if isinstance(value, exp.Neg) else None
    if isinstance(number, exp.Literal) and not number.is_string and float(number.name) > 0:
        name = "LIMIT" if isinstance(node, exp.Limit) else "OFFSET"
        raise source.type_mismatch(
            f"{name} must not be negative", f"-{number.name[:40]}", number, f"Write {name} 10."
        )


def _is_constant_text(node: exp.Expr) -> bool:
    """Whether a node is a text without a type yet, which PostgreSQL reads as what is wanted."""
    return isinstance(without_parens(node), exp.Literal)


def _is_text_column(node: exp.Expr) -> bool:
    """Whether a node is a column of text of a table; what functions of FROM give is typed as its items."""
    entry = source_node(node) if isinstance(node, exp.Column) and kind(node) in TEXT_TYPES else None
    return isinstance(entry, exp.Table) and isinstance(entry.this, exp.Identifier)


def _is_untyped(node: exp.Expr) -> bool:
    """Whether a node is a constant or a parameter, whose text is read as what it stands beside."""
    return isinstance(without_parens(node), (exp.Literal, exp.Placeholder, exp.Parameter))


def _check_boolean(source: SourceText, node: exp.Expr, taker: str) -> None:
    constant = _is_constant_text(node) and without_parens(node).is_string
    if not constant and kind(node) in _NUMBERS | TEXT_TYPES:
        raise _mismatch(source, node, taker, "a boolean")


def _check_number(source: SourceText, node: exp.Expr | None, taker: str) -> None:
    if node is not None and not _is_constant_text(node) and kind(node) in TEXT_TYPES:
        raise _mismatch(source, node, taker, "a number")


def _check_comparable(source: SourceText, *sides: exp.Expr) -> None:
    """A boolean is no number: DuckDB would take TRUE for 1."""
    kinds = [_compared_kind(side) for side in sides]
    if exp.DType.BOOLEAN in kinds and any(each in _NUMBERS for each in kinds):
        boolean = sides[kinds.index(exp.DType.BOOLEAN)]
        raise source.type_mismatch("a number is not compared with a boolean", ABSENT, boolean, "Cast one.")
    texts = [side for side, each in zip(sides, kinds, strict=True) if each in TEXT_TYPES]
    if exp.DType.BOOLEAN in kinds and texts and not _is_constant_text(texts[0]):
        raise source.type_mismatch("a string is not compared with a boolean", ABSENT, texts[0], "Cast one.")
    if not _NUMBERS.isdisjoint(kinds) and not all(map(_is_untyped, texts)):
        raise source.type_mismatch("a string is not compared with a number", ABSENT, texts[0], "Cast one.")


def _check_case(source: SourceText, case: exp.Case) -> None:
    """The operand of CASE is compared with each of its values; its results have one type."""
    branches = case.args["ifs"]
    for branch in branches:
        if case.this is None:
            _check_boolean(source, branch.this, "WHEN")
        else:
            _check_comparable(source, case.this, branch.this)
    results = [*(branch.args["true"] for branch in branches), case.args.get("default")]
    _check_choice(source, [result for result in results if result is not None], "CASE")


def _compared_kind(side: exp.Expr) -> Any:
    """The type of an operand; of ANY and ALL, whose own type is that of the comparison, that of the items."""
    if not isinstance(side, (exp.Any, exp.All)):
        return kind(side)
    type_ = side.this.unnest().type
    items = type_.expressions if type_ is not None and type_.this == exp.DType.ARRAY else ()
    return next((item.this for item in items if isinstance(item, exp.DataType)), None)


def _check_documents(source: SourceText, node: exp.Expr) -> None:
    """A number or a boolean is no document: DuckDB would make one of it."""
    sides = (node.this, node.args["expression"])
    scalar = next((side for side in sides if kind(side) in _NUMBERS | {exp.DType.BOOLEAN}), None)
    if scalar is not None and any(kind(side) in JSON_TYPES for side in sides):
        raise _mismatch(source, scalar, "an operator of JSONB", "JSONB")


def _check_texts(source: SourceText, node: exp.DPipe) -> None:
    operands = (node.this, node.args["expression"])
    if all(kind(operand) in _NUMBERS for operand in operands):
        raise source.type_mismatch(
            "|| concatenates strings",
            "numbers",
            operands[0],
            "Cast one operand with ::text.",
        )


_CATEGORIES: Final = (_NUMBERS, TEXT_TYPES, {exp.DType.BOOLEAN}, JSON_TYPES)
"""Types that UNION takes for one: others are no types of the same column."""


def _check_united(source: SourceText, node: exp.SetOperation) -> None:
    """The columns of both queries have types that PostgreSQL converts; DuckDB makes texts of any two."""
    for left, right in zip(*(_items(side) for side in (node.this, node.args["expression"])), strict=False):
        categories = [_category(left), _category(right)]
        if None in categories or categories[0] == categories[1]:
            continue
        names = " and ".join(kind(item).value.lower() for item in (left, right))
        operation = str(node.key).upper()
        raise source.type_mismatch(
            f"the types of a column of {operation} do not match", names, right, "Cast one of them."
        )


def _check_choice(source: SourceText, values: list[exp.Expr], name: str) -> None:
    """Values of which one is chosen have types that PostgreSQL converts: TRUE is no number."""
    categories = [(value, category) for value in values if (category := _category(value)) is not None]
    for value, category in categories[1:]:
        if category != categories[0][1]:
            names = " and ".join(kind(item).value.lower() for item in (categories[0][0], value))
            raise source.type_mismatch(
                f"the types of values of {name} do not match", names, value, "Cast one of them."
            )


def _check_joined(source: SourceText, node: exp.GroupConcat) -> None:
    """string_agg() of texts or bytes."""
    value = node.this
    while isinstance(value, (exp.Order, exp.Distinct)):
        value = value.this if isinstance(value, exp.Order) else value.expressions[0]
    if kind(value) in _NUMBERS | _MOMENTS | {exp.DType.BOOLEAN}:
        raise _mismatch(source, value, "string_agg()", "a string")


def _check_cast(source: SourceText, cast: exp.Cast) -> None:
    """Of booleans and numbers PostgreSQL casts INTEGER alone into the other."""
    from_, to = kind(cast.this), cast.args["to"].this
    if to == exp.DType.BOOLEAN and from_ in _FRACTIONS | _OTHER_INTEGERS:
        cause = "a number that is no INTEGER cannot be cast to boolean"
        raise source.type_mismatch(cause, ABSENT, cast, "Write <> 0.")
    if from_ == exp.DType.BOOLEAN and to in _FRACTIONS | _OTHER_INTEGERS:
        cause = f"a boolean cannot be cast to {str(to.value).lower()}"
        raise source.type_mismatch(cause, ABSENT, cast, "Cast it to int first.")


def _items(query: exp.Expr) -> list[exp.Expr]:
    """What the first query of a set operation selects."""
    select = first_select(query)
    return [item.unalias() for item in select.expressions] if select is not None else []


def _category(item: exp.Expr) -> int | None:
    """The category of a value's type; None for a constant that has none yet, and where it is not known."""
    if _is_constant_text(item) and without_parens(item).is_string:
        return None
    return next((at for at, types in enumerate(_CATEGORIES) if kind(item) in types), None)


def _check_distinct(source: SourceText, select: exp.Select) -> None:
    """DISTINCT keeps only what the list has, so that nothing else can order its rows."""
    distinct, order = select.args.get("distinct"), select.args.get("order")
    if distinct is None or distinct.args.get("on") is not None or order is None:
        return
    listed = [item.this if isinstance(item, exp.Alias) else item for item in select.expressions]
    names = {item.alias_or_name for item in select.expressions}
    for ordered in order.expressions:
        key = without_parens(ordered.this)
        named = isinstance(key, exp.Column) and not key.table and key.name in names
        if not named and not isinstance(key, exp.Literal) and key not in listed:
            raise source.syntax_error(
                "with DISTINCT, ORDER BY expressions must be in the select list",
                ordered,
                "Add it there.",
            )
