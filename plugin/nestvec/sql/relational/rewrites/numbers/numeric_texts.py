"""A computed NUMERIC as a text: with as many digits behind the point as PostgreSQL gives this value.

DuckDB has the same places for all values of a column, and doubles for quotients, roots and powers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.rewrites.nodes import (
    FLOAT_TYPES,
    JSON_TYPES,
    TEXT_TYPES,
    anonymous_name,
    call,
    is_text_constant,
    kind,
    order_by_value,
)
from nestvec.sql.relational.rewrites.numbers.aggregate_texts import aggregate_text
from nestvec.sql.relational.rewrites.numbers.constants import is_long
from nestvec.sql.relational.rewrites.numbers.exactness import (
    DIGITS,
    KEY,
    VALUE,
    aggregate_of,
    is_inexact,
    removes_equal,
    scalar_item,
    size_of,
)
from nestvec.sql.relational.rewrites.numbers.fixed_values import Fixed, fixed_text, fixed_value
from nestvec.sql.relational.rewrites.numbers.numeric_types import (
    ARITHMETIC,
    NUMERIC,
    called_operation,
    chosen,
    common_type,
    number_type,
)
from nestvec_schemas.errors import SqlNotSupported

OPERATIONS: Final[dict[type[exp.Expr], str]] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
    exp.IntDiv: "div",
    exp.Pow: "power",
    exp.Neg: "neg",
    exp.Abs: "abs",
    exp.Floor: "floor",
    exp.Ceil: "ceil",
    exp.Sign: "sign",
    exp.Sqrt: "sqrt",
    exp.Exp: "exp",
    exp.Ln: "ln",
}
TEXTS: Final = {*TEXT_TYPES, exp.DType.BPCHAR}
_JOINS: Final = (exp.Concat, exp.ConcatWs, exp.Format)
_CONTEXTS: Final = (exp.Cast, exp.DPipe, exp.Anonymous, exp.ArrayToString, *_JOINS)
_OF_TEXTS: Final = ("QUOTE_LITERAL", "QUOTE_NULLABLE", "SCALE", "MIN_SCALE")
_JSON_CALLS: Final = (
    "TO_JSON", "TO_JSONB", "JSON_BUILD_ARRAY", "JSONB_BUILD_ARRAY", "JSON_BUILD_OBJECT", "JSONB_BUILD_OBJECT",
)  # fmt: skip
_PLAIN: Final = re.compile(r"[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]{1,3})?")
_FRACTIONS: Final = {"second": 6, "seconds": 6, "epoch": 6, "millisecond": 3, "milliseconds": 3}
"""Digits behind the point of the parts of times that have some."""

_MODIFIERS: Final = ("order", "limit", "offset", "with_")
_MAX_DEPTH: Final = 40
"""Levels of operations."""


def write_numerics(nodes: Sequence[exp.Expr]) -> bool:
    """Write the NUMERICs that become texts. Whether there were any; the tree is changed."""
    changed = False
    for node in reversed(nodes):
        if not isinstance(node, _CONTEXTS):
            continue
        if (array := _array_of(node)) is not None:
            for value in array.expressions:
                value.replace(text_of(value))
            array.type = exp.DataType.build("array<text>")
            changed = True
        for value in _documents_of(node):
            items = value.unnest()
            if isinstance(items, exp.Array) and common_type(items.expressions) == NUMERIC:
                for item in items.expressions:
                    item.replace(_json(item))
                items.type = exp.DataType.build("array<json>")
                changed = True
            elif number_type(value) == NUMERIC:
                value.replace(_json(value))
                changed = True
        for value in _texts_of(node):
            if number_type(value) == NUMERIC and is_computed(value):
                value.replace(text_of(value))
                changed = True
    return changed


def write_results(tree: exp.Expr) -> bool:
    """Write computed NUMERICs of the outermost select list, which are read as numbers again.

    So are those of VALUES and of UNION ALL. Whether there were any; the tree is changed.
    """
    if rows := _value_rows(tree):
        # Rows of several lengths are an error, which DuckDB finds.
        equal = len({len(row) for row in rows}) == 1
        return equal and _write_columns(list(zip(*rows, strict=True)))
    if not isinstance(tree, exp.Select) or removes_equal(tree):
        return False
    changed = False
    for at, item in enumerate(tree.expressions, 1):
        value = item.unalias()
        if not is_computed(value) or number_type(value) != NUMERIC:
            continue
        if order_by_value(tree, item, at):
            value.replace(text_of(value))
            changed = True
    return changed


def _value_rows(tree: exp.Expr) -> list[list[exp.Expr]]:
    """The values of ``SELECT … FROM (VALUES …)`` or of a UNION ALL, row by row; none for other queries."""
    if isinstance(tree, exp.Subquery) and not any(tree.args.get(part) for part in ("alias", *_MODIFIERS)):
        return _value_rows(tree.this)
    if isinstance(tree, exp.Union) and not any(tree.args.get(part) for part in ("distinct", *_MODIFIERS)):
        sides = [
            _value_rows(side) or ([[item.unalias() for item in side.expressions]] if _is_plain(side) else [])
            for side in (tree.this, tree.expression)
        ]
        return sides[0] + sides[1] if all(sides) else []
    if not isinstance(tree, exp.Select) or not _is_plain(tree) or tree.args.get("joins"):
        return []
    from_ = tree.args.get("from_")
    values = from_.this if from_ is not None else None
    if isinstance(values, exp.Subquery) and isinstance(values.this, exp.Values):
        values = values.this
    if not isinstance(values, exp.Values):
        return []
    rows = [list(row.expressions) for row in values.expressions if isinstance(row, exp.Tuple)]
    names = [item.unalias().name for item in tree.expressions if isinstance(item.unalias(), exp.Column)]
    # In another order, or some of them alone, they would not be the columns of the result.
    in_order = len(names) == len(tree.expressions) and names == values.alias_column_names
    return rows if in_order and len(rows) == len(values.expressions) else []


def _is_plain(tree: exp.Expr) -> bool:
    return isinstance(tree, exp.Select) and not any(
        tree.args.get(part) for part in ("distinct", "where", "group", "having", *_MODIFIERS)
    )


def _write_columns(columns: Sequence[Sequence[exp.Expr]]) -> bool:
    changed = False
    for values in columns:
        if common_type(list(values)) != NUMERIC or not any(map(is_computed, values)):
            continue
        for value in values:
            value.replace(text_of(value))
        changed = True
    return changed


def _documents_of(node: exp.Expr) -> list[exp.Expr]:
    """The operands of which a node makes JSON."""
    return list(node.expressions) if anonymous_name(node) in _JSON_CALLS else []


def _texts_of(node: exp.Expr) -> Iterator[exp.Expr]:
    """The operands of which a node makes texts."""
    if isinstance(node, exp.Cast):
        if node.args["to"].this in TEXTS:
            yield node.this
    elif isinstance(node, exp.DPipe):
        if kind(node) in TEXT_TYPES:
            yield from (node.this, node.expression)
    elif isinstance(node, _JOINS) or anonymous_name(node) in _OF_TEXTS:
        yield from list(node.expressions)


def _array_of(node: exp.Expr) -> exp.Array | None:
    """ARRAY[…] with a NUMERIC of which a node makes a text; None for another node."""
    is_cast = isinstance(node, exp.Cast) and node.args["to"].this in TEXTS
    if not is_cast and not isinstance(node, exp.ArrayToString):
        return None
    array = node.this.unnest()
    if not isinstance(array, exp.Array):
        return None
    return array if common_type(array.expressions) == NUMERIC else None


def _json(value: exp.Expr) -> exp.Expr:
    document = call("pg_json_numeric", text_of(value))
    document.type = exp.DataType(this=exp.DType.JSONB)
    return document


def is_computed(node: exp.Expr) -> bool:
    """Whether DuckDB may write other digits: it does not for columns, constants and their sums."""
    node = without_parens(node)
    if is_inexact(node):
        return True
    if isinstance(node, exp.Cast):
        return not node.args["to"].expressions or is_computed(node.this)
    if isinstance(node, exp.Literal):
        return not node.is_string and is_long(node)
    if isinstance(node, exp.Column):
        return number_type(node) == NUMERIC and size_of(node) is None
    if isinstance(aggregate_of(node), (exp.Max, exp.Min, exp.Sum)):
        return number_type(node) == NUMERIC and size_of(node) is None
    if isinstance(node, (exp.AggFunc, exp.Filter, exp.Window, exp.Query, exp.Anonymous)):
        return False
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
        return is_computed(node.this) or is_computed(node.expression)
    if isinstance(node, (exp.Neg, exp.Abs, exp.Floor, exp.Ceil, exp.Sign)):
        return is_computed(node.this)
    return True


def text_of(node: exp.Expr, depth: int = 0) -> exp.Expr:
    """A number as PostgreSQL writes it. Raises SqlNotSupported for one of too many levels."""
    node = without_parens(node)
    if (marked := _marked_text(node)) is not None:
        return marked
    if (
        KEY in node.meta
        or isinstance(node, exp.Null)
        or is_text_constant(node)
        or number_type(node) != NUMERIC
    ):
        return _as_text(node)
    if is_inexact(node) and (value := fixed_value(node)) is not None:
        return fixed_text(value)
    if depth > _MAX_DEPTH:
        if is_inexact(node):
            raise SqlNotSupported("the expression is nested too deeply", next_step=_DEEP)
        return _as_text(node)
    deeper = depth + 1
    if isinstance(node, exp.Literal) and _PLAIN.fullmatch(node.name):
        return exp.Literal.string(f"{Decimal(node.name):f}")
    if isinstance(node, exp.Extract):
        return _part_text(node)
    if not is_computed(node):
        return _as_text(node)
    if isinstance(node, exp.Cast):
        return _cast_text(node, deeper)
    if isinstance(node, (exp.Case, exp.Coalesce)):
        return _choice_text(node, deeper)
    if isinstance(node, (exp.Greatest, exp.Least)):
        return _extreme_text(node, deeper)
    if isinstance(node, exp.Nullif):
        other = exp.Coalesce(this=text_of(node.expression, deeper), expressions=[exp.Literal.string("")])
        return _texted(call("pg_unless_empty", _operation("nullif", text_of(node.this, deeper), other)))
    if isinstance(node, (exp.Round, exp.Trunc)):
        places = node.args.get("decimals") or exp.Literal.number(0)
        name = "round" if isinstance(node, exp.Round) else "trunc"
        return _operation(name, text_of(node.this, deeper), _as_text(places))
    if name := called_operation(node):
        return _operation(name, *(text_of(operand, deeper) for operand in node.expressions))
    if isinstance(node, exp.Log):
        if node.expression is None:
            return _operation("log10", text_of(node.this, deeper))
        return _operation("log", text_of(node.this, deeper), text_of(node.expression, deeper))
    if isinstance(node, exp.Subquery) and (item := scalar_item(node)) is not None:
        copied = node.copy()
        inner = scalar_item(copied)
        if inner is not None:
            inner.replace(text_of(item, deeper))
        return _texted(copied)
    if (aggregate := aggregate_text(node, partial(text_of, depth=deeper))) is not None:
        return _texted(aggregate)
    name = OPERATIONS.get(type(node), "")
    if not name:
        return _as_text(node)
    operands = (node.this, node.expression) if isinstance(node, (*ARITHMETIC, exp.IntDiv, exp.Pow)) else ()
    return _operation(name, *(text_of(operand, deeper) for operand in operands or (node.this,)))


def _marked_text(node: exp.Expr) -> exp.Expr | None:
    """The text of a number that is stored as one; None if it is not."""
    if VALUE in node.meta:
        fixed = node.meta[VALUE]
        return fixed_text(fixed) if isinstance(fixed, Fixed) else _texted(node.this.copy())
    if DIGITS not in node.meta:
        return None
    if isinstance(node, exp.Column):
        digits = exp.to_identifier(node.meta[DIGITS], quoted=True)
        return _texted(exp.column(digits, node.args["table"].copy()))
    return _texted(node.copy())


_EMPTY: Final = exp.Literal.string("")
_CONSTANTS: Final = (exp.Literal, exp.Null, exp.Extract)
_DEEP: Final = "Compute a part of it in a subquery, as a column of its own."


def _operation(name: str, *texts: exp.Expr) -> exp.Expr:
    left, right = (*texts, _EMPTY)[:2]
    return _texted(call("pg_numeric", exp.Literal.string(name), left, right))


def _texted(node: exp.Expr) -> exp.Expr:
    node.type = exp.DataType(this=exp.DType.VARCHAR)
    return node


def _as_text(node: exp.Expr) -> exp.Expr:
    text = _texted(exp.cast(node.copy(), "text"))
    # DuckDB's places are those of the column, and not of each number.
    is_cast_key = isinstance(node, exp.Cast) and KEY in node.meta
    is_padded = number_type(node) == NUMERIC and (is_cast_key or size_of(node) is None)
    is_padded = is_padded and not isinstance(node, _CONSTANTS)
    return _texted(call("pg_trimmed", text)) if is_padded else text


def _cast_text(node: exp.Cast, depth: int) -> exp.Expr:
    """A value that is cast to NUMERIC."""
    value, sizes = without_parens(node.this), node.args["to"].expressions
    type_ = number_type(value)
    if is_text_constant(value) or type_ in TEXT_TYPES or type_ in JSON_TYPES:
        text = _operation("value", _as_text(value))
    elif type_ in FLOAT_TYPES:
        text = _operation("real" if type_ == exp.DType.FLOAT else "double", _as_text(value))
    else:
        text = text_of(value, depth)
    if not sizes:
        return text
    digits, places = (*(size.name for size in sizes), "0")[:2]
    if not (digits.isdecimal() and places.isdecimal()):
        return _as_text(node)
    return _operation("cast", text, exp.Literal.string(str(1_000 * int(digits) + int(places))))


def _part_text(node: exp.Extract) -> exp.Expr:
    """A part of a time, of which seconds have a fraction."""
    unit = node.name.lower()
    is_day = kind(node.expression) == exp.DType.DATE
    places = 0 if is_day else _FRACTIONS.get(unit, 0)
    return _as_text(exp.cast(node.copy(), f"decimal(38, {places})"))


def _extreme_text(node: exp.Greatest | exp.Least, depth: int) -> exp.Expr:
    extreme = exp.Literal.string("greatest" if isinstance(node, exp.Greatest) else "least")
    items = exp.Array(expressions=[text_of(value, depth) for value in chosen(node)])
    items.type = exp.DataType.build("array<text>")
    return _texted(call("pg_unless_empty", call("pg_extreme_numeric", extreme, items)))


def _choice_text(node: exp.Expr, depth: int) -> exp.Expr:
    """One of several values, each as a text."""
    copied = node.copy()
    for value in chosen(copied):
        value.replace(text_of(value, depth))
    return _texted(copied)
