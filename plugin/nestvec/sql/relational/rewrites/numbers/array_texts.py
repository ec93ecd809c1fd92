"""Arrays of computed NUMERICs in the outermost select list: each element is a text with its own digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.rewrites.nodes import call, order_by_value
from nestvec.sql.relational.rewrites.numbers.aggregate_texts import keyed_order
from nestvec.sql.relational.rewrites.numbers.exactness import (
    DIGITS,
    aggregate_of,
    is_inexact,
    removes_equal,
    size_of,
)
from nestvec.sql.relational.rewrites.numbers.numeric_texts import TEXTS, is_computed, text_of
from nestvec.sql.relational.rewrites.numbers.numeric_types import (
    NUMERIC,
    common_type,
    gives_array,
    number_type,
    ordered_number,
)

_TEXTS: Final = exp.DataType.build("array<text>")


def write_arrays(tree: exp.Expr, nodes: Sequence[exp.Expr]) -> None:
    """Write the arrays with computed NUMERICs of the outermost select list, and those that become texts.

    The tree is changed.
    """
    for node in nodes:
        if isinstance(node, exp.ArrayToString) or (isinstance(node, exp.Cast) and node.to.this in TEXTS):
            _write_aggregate(without_parens(node.this))
    if not isinstance(tree, exp.Select) or removes_equal(tree):
        return
    for item in tree.expressions:
        value = without_parens(item.unalias())
        array = without_parens(value.this) if isinstance(value, exp.Bracket) else value
        is_number = number_type(value) == NUMERIC
        if isinstance(array, exp.Array):
            _write_elements(array)
        else:
            _write_aggregate(array)
        if (
            is_number
            and isinstance(value, exp.Bracket)
            and aggregate_of(without_parens(value.this)).type == _TEXTS
        ):
            value.meta[DIGITS] = True


def _write_elements(array: exp.Array) -> None:
    """``ARRAY[x, …]`` and ``ARRAY(SELECT x …)``."""
    elements = array.expressions
    select = elements[0].unnest() if len(elements) == 1 else None
    if isinstance(select, exp.Select):
        _write_rows(array, select)
    elif common_type(elements) == NUMERIC and (
        any(map(is_computed, elements)) or len({size_of(element) for element in elements}) > 1
    ):
        for element in elements:
            if not isinstance(element, exp.Null):
                element.replace(text_of(element))
        array.type = _TEXTS.copy()


def _write_rows(array: exp.Array, select: exp.Select) -> None:
    if len(select.expressions) != 1 or removes_equal(select):
        return
    (item,) = select.expressions
    value = item.unalias()
    if number_type(value) == NUMERIC and is_computed(value) and order_by_value(select, item, 1):
        value.replace(text_of(value))
        array.type = _TEXTS.copy()


def _write_aggregate(value: exp.Expr) -> None:
    """``array_agg(x)``, and ``percentile_disc(ARRAY[…])``, with FILTER and OVER."""
    aggregate = aggregate_of(value)
    if isinstance(aggregate, exp.WithinGroup):
        number = ordered_number(aggregate)
        if number is not None and gives_array(aggregate) and is_inexact(number):
            keyed_order(aggregate, text_of)
            value.replace(call("pg_digits_of_all", value.copy()))
    elif isinstance(aggregate, exp.ArrayAgg):
        ordered = aggregate.this if isinstance(aggregate.this, exp.Order) else None
        number = aggregate.this if ordered is None else ordered.this
        distinct = number if isinstance(number, exp.Distinct) else None
        number = number if distinct is None else distinct.expressions[0]
        if number_type(number) != NUMERIC or not is_computed(number):
            return
        aggregate.type = _TEXTS.copy()
        if distinct is None:
            number.replace(text_of(number))
            return
        key = ordered.expressions[0] if ordered is not None else exp.Ordered()
        flags = [exp.convert(bool(key.args.get(name))) for name in ("desc", "nulls_first")]
        aggregate.set("this", text_of(number))
        value.replace(call("pg_distinct_numerics", value.copy(), *flags))
