"""Types that PostgreSQL refuses where DuckDB would convert a value: checked on the typed tree."""

from __future__ import annotations

import math
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.operators import IS_UNKNOWN
from nestvec.sql.parse.source import SourceText, chain_operands, without_parens
from nestvec.sql.relational.names import function_label
from nestvec.sql.relational.rewrites.calls.type_names import note_type
from nestvec.sql.relational.rewrites.nodes import FLOAT_TYPES, INTEGERS, JSON_TYPES, TEXT_TYPES, kind
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
_OF_TEXTS: Final = (exp.Lower, exp.Upper, exp.Reverse, exp.Initcap, exp.StartsWith)


def check_types(source: SourceText, tree: exp.Expr) -> None:
    """Raise SqlTypeMismatch for operands that PostgreSQL has no operator or function for."""
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
        elif isinstance(node, exp.Case) and node.this is None:
            for branch in node.args["ifs"]:
                _check_boolean(source, branch.this, "WHEN")
        elif type(node) in _OPERATORS and kind(node) not in JSON_TYPES:
            for operand in (node.this, node.args["expression"]):
                _check_number(source, operand, _OPERATORS[type(node)])
        elif isinstance(node, _COMPARISONS):
            _check_comparable(source, node.this, node.args["expression"])
        elif isinstance(node, (exp.In, exp.Between)):
            for item in (*node.expressions, node.args.get("low"), node.args.get("high")):
                if item is not None:
                    _check_comparable(source, node.this, item)
        elif isinstance(node, _OF_NUMBERS):
            _check_number(source, node.this, construct_name(node).removeprefix("the aggregate "))
        elif isinstance(node, _OF_TEXTS):
            if kind(node.this) in _NUMBERS | {exp.DType.BOOLEAN}:
                raise _mismatch(source, node.this, function_label(node).lower(), "a string")
        elif isinstance(node, exp.DPipe):
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
        elif isinstance(node, exp.Cast) and node.args["to"].this == exp.DType.BOOLEAN:
            if kind(node.this) in _FRACTIONS:
                raise source.type_mismatch(
                    "a number with a fraction cannot be cast to boolean", "", node, "Write <> 0."
                )
        elif isinstance(node, exp.Anonymous) and node.name.upper() == "PG_TYPEOF":
            note_type(node)
        elif isinstance(node, (exp.Limit, exp.Offset)):
            _check_not_negative(source, node)
        elif isinstance(node, exp.Select):
            _check_distinct(source, node)
        elif isinstance(node, exp.SetOperation):
            _check_united(source, node)


def _mismatch(source: SourceText, node: exp.Expr, taker: str, expected: str) -> SqlError:
    name = str(getattr(kind(node), "value", kind(node)))
    return source.type_mismatch(f"{taker} takes {expected}, not {name}", name, node, _CAST)


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
        raise source.type_mismatch("a number is not compared with a boolean", "", boolean, "Cast one.")
    texts = [side for side, each in zip(sides, kinds, strict=True) if each in TEXT_TYPES]
    if exp.DType.BOOLEAN in kinds and texts and not _is_constant_text(texts[0]):
        raise source.type_mismatch("a string is not compared with a boolean", "", texts[0], "Cast one.")
    if isinstance(without_parens(sides[-1]), exp.DPipe) and texts and not _NUMBERS.isdisjoint(kinds):
        raise source.type_mismatch("a string is not compared with a number", "", texts[0], "Cast one.")


def _compared_kind(side: exp.Expr) -> Any:
    """The type of an operand; of ANY and ALL, whose own type is that of the comparison, that of the items."""
    if not isinstance(side, (exp.Any, exp.All)):
        return kind(side)
    type_ = side.this.unnest().type
    items = type_.expressions if type_ is not None and type_.this == exp.DType.ARRAY else ()
    return next((item.this for item in items if isinstance(item, exp.DataType)), None)


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


def _items(query: exp.Expr) -> list[exp.Expr]:
    """What the first query of a set operation selects."""
    query = query.unnest()
    while isinstance(query, exp.SetOperation):
        query = query.this.unnest()
    return [item.unalias() for item in query.expressions] if isinstance(query, exp.Select) else []


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
